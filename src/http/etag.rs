//! Optimistic concurrency: `ETag` out, `If-Match` in (RFC 9110, sections 8.8.3 and 13.1.1).

use actix_web::{HttpRequest, http::header};

use super::problem::{Problem, kind};

/// The strong entity tag of a row's version.
#[must_use]
pub fn of_version(version: i32) -> (header::HeaderName, String) {
    (header::ETAG, format!("\"{version}\""))
}

/// The condition under which a change may be made.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// # Errors
    /// `malformed-header`.
    pub fn of(req: &HttpRequest) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        let mut present = false;
        for value in req.headers().get_all(header::IF_MATCH) {
            let malformed = || Problem::new(&kind::MALFORMED_HEADER).detail("If-Match");
            let text = value.to_str().map_err(|_| malformed())?;
            present = true;
            for tag in text.split(',').map(str::trim) {
                let quoted = tag.trim_start_matches("W/");
                if tag != "*" && !(quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"')) {
                    return Err(malformed());
                }
                tags.push(tag.to_owned());
            }
        }
        Ok(Self(present.then_some(tags)))
    }

    /// # Errors
    /// `precondition-failed` unless the header is absent or names `version`; the comparison is
    /// strong, so a weak tag never matches.
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
