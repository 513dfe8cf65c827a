//! Optimistic concurrency with `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1).
//!
//! The types of `actix_web::http::header` skip what they cannot parse and split tags at commas; here a malformed
//! `If-Match` is an error, since the client expects it to be checked.

use actix_web::{HttpRequest, http::header};
use aws_lc_rs::digest::{SHA256, digest};

use super::{kind, problem::Problem};

/// The header with the strong entity tag of a row's version.
pub fn of_version(version: i32) -> (header::HeaderName, String) {
    (header::ETAG, format!("\"{version}\""))
}

/// The header with a strong entity tag that changes with the body.
pub fn of_body(body: &[u8]) -> header::HeaderValue {
    header::HeaderValue::try_from(format!("\"{}\"", hash(body))).expect("hexadecimal digits")
}

/// The first 64 bits of the SHA-256 of a body.
pub(super) fn hash(body: &[u8]) -> String {
    let hash = digest(&SHA256, body);
    let first = hash.as_ref().first_chunk().expect("a digest has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

/// The condition of a change.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// Parses the header of a request.
    ///
    /// # Errors
    /// `malformed-header`.
    pub fn of(req: &HttpRequest) -> Result<Self, Problem> {
        let mut values = req.headers().get_all(header::IF_MATCH).peekable();
        if values.peek().is_none() {
            return Ok(Self(None));
        }
        let tags = values.map(|value| tags(value.to_str().ok()?)).collect::<Option<Vec<_>>>();
        let malformed = || Problem::new(&kind::MALFORMED_HEADER).detail("If-Match");
        Ok(Self(Some(tags.ok_or_else(malformed)?.concat())))
    }

    /// Compares with the current version, strongly: a weak tag never matches.
    ///
    /// # Errors
    /// `precondition-failed` unless the header is absent or contains `version`.
    pub fn check(&self, version: i32) -> Result<(), Problem> {
        let Some(tags) = &self.0 else {
            return Ok(());
        };
        let (_, current) = of_version(version);
        if tags.iter().any(|tag| tag == "*" || *tag == current) {
            return Ok(());
        }
        Err(Problem::new(&kind::PRECONDITION_FAILED))
    }
}

/// Whether `If-None-Match` contains the tag, by weak comparison (RFC 9110, section 13.1.2). A malformed header
/// contains none.
pub fn none_match_has(req: &HttpRequest, etag: &header::HeaderValue) -> bool {
    req.headers().get_all(header::IF_NONE_MATCH).any(|value| {
        value == etag
            || value.to_str().ok().and_then(tags).is_some_and(|tags| {
                let mut opaque = tags.iter().map(|tag| tag.trim_start_matches("W/"));
                opaque.any(|tag| tag == "*" || etag == tag)
            })
    })
}

/// Parses a list of tags, which may contain commas; None if it is malformed.
fn tags(mut text: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    loop {
        text = text.trim_start();
        let end = match text.strip_prefix("W/").unwrap_or(text).strip_prefix('"') {
            Some(opaque) => text.len() - opaque.len() + opaque.find('"')? + 1,
            None => text.starts_with('*').then_some(1)?,
        };
        let (tag, rest) = text.split_at(end);
        tags.push(tag.to_owned());
        text = rest.trim_start();
        if text.is_empty() {
            return Some(tags);
        }
        text = text.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::tags;

    #[test]
    fn lists_of_tags_are_parsed_by_rfc_9110() {
        assert_eq!(tags(r#""1""#).unwrap(), [r#""1""#]);
        assert_eq!(tags(r#" "a,b" ,W/"2", * "#).unwrap(), [r#""a,b""#, r#"W/"2""#, "*"]);
        for bad in ["", "1", "\"", "\"1", "\"1\" \"2\"", "\"1\",", "W/1", "w/\"1\""] {
            assert_eq!(tags(bad), None, "{bad}");
        }
    }
}
