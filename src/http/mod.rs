//! Shared by all endpoints: problem details, extractors, paging, entity tags, the client's address and the envelope
//! around each request.

pub mod accept;
mod body;
mod client_ip;
mod connection;
mod csv;
mod current;
mod envelope;
pub mod etag;
mod fallback;
mod forwarded;
pub mod html;
pub mod import;
mod json;
pub mod kind;
mod network;
mod openapi;
mod openapi30;
mod openapi_examples;
mod openapi_problems;
pub mod page;
mod prepared;
mod problem;
mod problems;
mod query;
mod quota;
mod requests;
pub mod rows;
mod shutdown;
mod text;
mod unread_body;

pub use self::{
    body::BodyLimits,
    client_ip::{ClientIp, TrustedProxies},
    connection::{Connection, HEAD_TIMEOUT},
    csv::csv_cell,
    envelope::{Envelope, X_REQUEST_ID, envelope},
    fallback::{Fallback, fallback},
    json::{BodyDigest, Json, OptionalJson, not_null, parse as parse_json, present},
    kind::Kind,
    network::Network,
    openapi::{Binary, complete},
    openapi30::to_openapi_30,
    prepared::{Prepared, respond_once, respond_with},
    problem::{Choice, FieldError, Problem, ProblemBody},
    problems::{problem_page, problem_pages},
    query::{Path, Query},
    quota::{Quota, RATE_LIMIT, RATE_LIMIT_POLICY},
    requests::Requests,
    shutdown::{Closing, Shutdown, Stage},
    text::{check_display_text, is_deceptive, is_visible},
};
