//! What every endpoint shares: problem details, extractors, paging, ETags, the client's
//! address and the envelope around each request.

pub mod accept;
mod client_ip;
mod connection;
mod current;
mod envelope;
pub mod etag;
mod fallback;
mod json;
mod network;
mod openapi;
pub mod page;
mod prepared;
mod problem;
mod problems;
mod query;
mod requests;
mod shutdown;
mod text;
mod unread_body;

pub use self::{
    client_ip::{ClientIp, TrustedProxies},
    connection::{Connection, READ_HEAD},
    envelope::{Envelope, X_REQUEST_ID, envelope},
    fallback::{Fallback, fallback},
    json::{Json, OptionalJson},
    network::Network,
    openapi::complete,
    prepared::{Prepared, respond_once, respond_with},
    problem::{Choice, FieldError, Kind, Problem, ProblemBody, kind},
    problems::{problem_page, problem_pages},
    query::{Path, Query},
    requests::Requests,
    shutdown::{Closing, Shutdown, Stage},
    text::{check_display_text, is_deceptive, is_visible},
};
