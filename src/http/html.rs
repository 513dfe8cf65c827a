//! Responds with pages that run no scripts and load nothing but the icon. Their templates extend `page.html`, which has
//! their style; its hash is the only style that the policy allows.

use std::sync::LazyLock;

use actix_web::http::header::HeaderValue;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};

pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";
pub const STYLE: &str = include_str!("page.css");

/// Their `Content-Security-Policy`.
pub static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("ASCII")
});
