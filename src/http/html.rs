//! Responds with pages that run no scripts and load nothing but the icon. Their templates extend `page.html`, which has
//! their style; its hash is the only style that the policy allows.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
};
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Problem, accept};

pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";
pub const STYLE: &str = concat!(include_str!("base.css"), include_str!("page.css"));

/// Their `Content-Security-Policy`. The mailbox of development shows a mail in a frame.
pub static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src 'self'; frame-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("ASCII")
});

pub fn respond(page: &impl Template) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.clone()))
        .body(page.render().map_err(Problem::internal)?))
}

/// Whether the client is a browser: it asks for HTML by name. Programs that ask for nothing in particular get JSON.
pub fn is_preferred(req: &HttpRequest) -> bool {
    accept::prefers(req, "text/html", "application/json")
}
