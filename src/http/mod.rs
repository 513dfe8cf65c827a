//! What every endpoint shares: problem details, extractors, paging, ETags, the client's
//! address, rate limits and the envelope around each request.

pub mod accept;
mod client_ip;
mod envelope;
pub mod etag;
mod fallback;
mod json;
mod openapi;
pub mod page;
mod problem;
mod problems;
mod query;
mod rate_limit;
mod requests;
mod text;

pub use self::{
    client_ip::{ClientIp, TrustedProxies},
    envelope::{Envelope, X_REQUEST_ID, envelope},
    fallback::{Fallback, fallback},
    json::{Json, OptionalJson},
    openapi::complete,
    problem::{Choice, FieldError, Kind, Problem, ProblemBody, kind},
    problems::{problem_page, problem_pages},
    query::{Path, Query},
    rate_limit::{RateLimit, RateLimits},
    requests::Requests,
    text::{check_display_text, is_deceptive, is_visible},
};
