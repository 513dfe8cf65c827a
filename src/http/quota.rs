//! The fields `RateLimit-Policy` and `RateLimit`, which tell a client how much of a limit is left
//! (draft-ietf-httpapi-ratelimit-headers-10).

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The limit that a request was counted against. It is left in the extensions of the request.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Without characters that a structured string has to escape (RFC 9651).
    pub name: &'static str,
    /// Requests in one window.
    pub limit: u32,
    pub window: Duration,
    pub remaining: u32,
    /// Until all of it is available again.
    pub full_in: Duration,
}

impl Quota {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let Self { name, limit, window, remaining, full_in } = self;
        let whole = |time: &Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
        let (window, reset) = (whole(window), whole(full_in));
        let mut insert = |field, text: String| {
            headers.insert(field, HeaderValue::try_from(text).expect("a name of this code and numbers"));
        };
        insert(RATE_LIMIT_POLICY, format!(r#""{name}";q={limit};w={window}"#));
        insert(RATE_LIMIT, format!(r#""{name}";r={remaining};t={reset}"#));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_structured_fields_with_whole_seconds() {
        let quota = Quota {
            name: "api-key",
            limit: 600,
            window: Duration::from_mins(1),
            remaining: 599,
            full_in: Duration::from_millis(100),
        };
        let mut headers = HeaderMap::new();
        quota.write(&mut headers);
        assert_eq!(headers.get(RATE_LIMIT_POLICY).expect("policy"), r#""api-key";q=600;w=60"#);
        assert_eq!(headers.get(RATE_LIMIT).expect("state"), r#""api-key";r=599;t=1"#);
    }
}
