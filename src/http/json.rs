//! Parses and validates JSON bodies, with limits on size and time.

use std::time::Duration;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header};
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use validator::{Validate, ValidationErrors};

use super::{
    body::BodyLimits,
    kind,
    problem::{FieldError, Problem},
};

const LIMITS: BodyLimits =
    BodyLimits { size: 64 * 1024, time: Duration::from_secs(10), cut_off: &kind::MALFORMED_JSON };

/// A validated request body.
pub struct Json<T>(pub T);

/// The SHA-256 of the body of a request with an `Idempotency-Key`; an extension of the request.
pub struct BodyDigest(pub Vec<u8>);

/// A validated request body that can be left out.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Validate + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (checked, payload, req) = (check_headers(req), payload.take(), req.clone());
        Box::pin(async move {
            checked?;
            let bytes = LIMITS.read_unchecked(payload).await?;
            if req.headers().contains_key("idempotency-key") {
                req.extensions_mut().insert(BodyDigest(digest(&SHA256, &bytes).as_ref().to_vec()));
            }
            parse_valid(&bytes).map(Self)
        })
    }
}

impl<T: DeserializeOwned + Validate + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (checked, payload) = (check_headers(req), payload.take());
        Box::pin(async move {
            let bytes = LIMITS.read_unchecked(payload).await?;
            if bytes.is_empty() {
                return Ok(Self(T::default()));
            }
            checked?;
            parse_valid(&bytes).map(Self)
        })
    }
}

/// Distinguishes `null` (inner None) from an absent field (outer None) of a merge patch: for `deserialize_with`, together
/// with `default`.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Refuses `null` in a field of a merge patch that cannot be cleared, instead of taking it for an absent field.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn parse_valid<T: DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, Problem> {
    let body: T = parse(bytes)?;
    body.validate().map_err(|errors| Problem::new(&kind::VALIDATION_FAILED).fields(flatten(&errors)))?;
    Ok(body)
}

fn check_headers(req: &HttpRequest) -> Result<(), Problem> {
    let is_json = req.mime_type().ok().flatten().is_some_and(|mime| {
        mime.type_() == "application"
            && (mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json"))
    });
    if !is_json || req.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(&kind::UNSUPPORTED_MEDIA_TYPE));
    }
    LIMITS.check_length(req)
}

/// Answers 400 to what is not JSON, and 422 with the field to JSON of another shape.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(&kind::MALFORMED_JSON).detail(error.to_string()))?;
    if let Some(error) = find_nul(&value, &mut String::new()) {
        return Err(Problem::new(&kind::VALIDATION_FAILED).fields(vec![error]));
    }
    // Derived code also reads an array, as the values of the fields in the order of the source.
    if !value.is_object() {
        return Err(Problem::invalid("", "type", "must be an object"));
    }
    // Parsed from the bytes again, since `Value` silently drops duplicate members.
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // It is JSON, so whatever is wrong now is its shape. `serde_json` calls a number in place of an enum a syntax
        // error.
        wrong_shape(pointer_of(error.path()), &error.inner().to_string())
    })
}

/// Finds the first string in `value` with a NUL, which PostgreSQL's `text` cannot store.
fn find_nul(value: &Value, pointer: &mut String) -> Option<FieldError> {
    let start = pointer.len();
    let mut step = |part: &str, child: &Value| {
        pointer.push('/');
        pointer.push_str(&escape(part));
        let found = find_nul(child, pointer);
        pointer.truncate(start);
        found
    };
    match value {
        Value::String(text) if text.contains('\0') => Some(FieldError {
            pointer: pointer.clone(),
            code: "control-character".into(),
            message: "must not contain U+0000".into(),
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| step(&index.to_string(), item))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| step(name, member)),
        _ => None,
    }
}

pub(super) fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}

/// As RFC 6901 section 3 asks.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Finds which field is missing, unknown or duplicate, which serde states only in its text.
fn wrong_shape(pointer: String, text: &str) -> Problem {
    let text = text.split(" at line ").next().unwrap_or(text);
    let named = escape(text.split('`').nth(1).unwrap_or_default());
    let of_parent = |pointer: String| match pointer.strip_suffix(&format!("/{named}")) {
        Some(parent) => format!("{parent}/{named}"),
        None => format!("{pointer}/{named}"),
    };
    if text.starts_with("missing field") {
        Problem::invalid(of_parent(pointer), "required", "is required")
    } else if text.starts_with("unknown field") {
        Problem::invalid(of_parent(pointer), "unknown-field", "is not a known field")
    } else if text.starts_with("duplicate field") {
        Problem::invalid(of_parent(pointer), "duplicate-field", "is given more than once")
    } else {
        Problem::invalid(pointer, "type", plain(text).to_owned())
    }
}

/// Replaces the texts of chrono, which say nothing of times.
pub(super) fn plain(text: &str) -> &str {
    let of_chrono = [
        "input contains invalid characters",
        "premature end of input",
        "input is not enough for unique date and time",
        "input is out of range",
        "trailing input",
    ];
    if of_chrono.contains(&text) {
        "must be a time as in RFC 3339, such as 2026-11-22T12:00:00Z"
    } else {
        text
    }
}

/// Converts the errors of validator to ones with JSON Pointers. Bodies are flat.
pub(super) fn flatten(errors: &ValidationErrors) -> Vec<FieldError> {
    let all = errors.field_errors().into_iter();
    let mut list: Vec<_> = all
        .flat_map(|(field, errors)| errors.iter().map(move |error| (field.clone(), error)))
        .map(|(field, error)| {
            // A rule about the whole body names the field in a parameter.
            let named = error.params.get("field").and_then(Value::as_str).unwrap_or(&field);
            FieldError {
                pointer: format!("/{named}"),
                code: error.code.clone(),
                message: error.message.clone().unwrap_or_else(|| "is not valid".into()),
            }
        })
        .collect();
    list.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    list
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Body {
        name: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        n: u8,
    }

    /// The code of the problem, and the pointer and code of its first field.
    fn refusal(body: &[u8]) -> (&'static str, String, String) {
        let problem = parse::<Body>(body).expect_err("refused");
        let json = problem.first_field().map(|field| (field.pointer.clone(), field.code.to_string()));
        let (pointer, code) = json.unwrap_or_default();
        (problem.kind().code, pointer, code)
    }

    #[test]
    fn errors_name_the_field_and_the_rule() {
        let cases = [
            (r"{}", "/name", "required"),
            (r#"{"name":"a","role":"admin"}"#, "/role", "unknown-field"),
            (r#"{"name":"a","name":"b"}"#, "/name", "duplicate-field"),
            (r#"["name",null]"#, "", "type"),
            ("1", "", "type"),
            (r#"{"name":1}"#, "/name", "type"),
            (r#"{"name":"a","inner":{}}"#, "/inner/n", "required"),
            (r#"{"name":"a","inner":{"n":1,"x":2}}"#, "/inner/x", "unknown-field"),
            (r#"{"name":"a","a/b~":1}"#, "/a~1b~0", "unknown-field"),
            (r#"{"name":"a","\u202e\u007f":1}"#, r"/\u{202e}\u{7f}", "unknown-field"),
            (r#"{"name":"a","inner":{"n":300}}"#, "/inner/n", "type"),
            (r#"{"name":"a\u0000b"}"#, "/name", "control-character"),
            (r#"{"name":"a","inner":{"n":"\u0000"}}"#, "/inner/n", "control-character"),
        ];
        for (body, pointer, code) in cases {
            let expected = ("validation-failed", pointer.to_owned(), code.to_owned());
            assert_eq!(refusal(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn invalid_json_is_malformed() {
        let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
        for body in [&b""[..], b"{", b"nonsense", b"{\"name\":\"\xff\"}", &deep, b"{} {}"] {
            assert_eq!(refusal(body).0, "malformed-json");
        }
    }

    #[test]
    fn a_text_that_is_no_time_is_told_what_a_time_looks_like() {
        for text in ["tomorrow", "2020-01-01", "2020-13-01T00:00:00Z", "2020-01-01T00:00:00Z+1", ""] {
            let value = Value::String(text.into());
            let error = serde_json::from_value::<chrono::DateTime<chrono::Utc>>(value).expect_err(text);
            assert!(plain(&error.to_string()).starts_with("must be a time"), "{text}: {error}");
        }
    }
}
