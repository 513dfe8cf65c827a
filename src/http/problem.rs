//! Problem details (RFC 9457): the one type that answers HTTP with an error.
//!
//! Which error type belongs where:
//! - a handler returns [`Problem`]; `?` turns a [`DbError`] into a 503 or a 500;
//! - a function with SQL returns Diesel's `QueryResult`, and the handler maps the constraint that it expects;
//! - work in the background uses [`DbError`], since it answers no request;
//! - start-up and the command line use `anyhow`, since a person reads the text.
//!
//! Causes are logged with the request id and never sent to the client.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt,
    hash::{BuildHasher, RandomState},
};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::schema::{Object, ObjectBuilder, Type},
};

use super::{
    current,
    kind::{self, Kind},
    text::quoting,
};
use crate::{
    db::{DbError, Outage},
    storage::StorageError,
};

/// Has the form that `envelope::new_request_id` makes.
pub(super) const EXAMPLE_REQUEST_ID: &str = "7d3f0a9c51e84b26a0c4e19f6b82d735";

/// Names a field of the request and what is wrong with it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) to the member of the body, or `/` and the name of the query parameter.
    #[schema(example = "/email")]
    pub pointer: String,
    /// Stable code of the rule that is broken, for programs.
    #[schema(example = "email")]
    pub code: Cow<'static, str>,
    /// The rule in words, for people.
    #[schema(example = "must be an email address")]
    pub message: Cow<'static, str>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the body" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// One of several resources that an ambiguous name matches.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Choice {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "Bitcoin (BTC)")]
    pub title: String,
    /// Address of the resource, relative to the request's.
    #[schema(example = "/api/v1/coins/1", format = "uri-reference")]
    pub href: String,
}

/// The body of every error (RFC 9457, `application/problem+json`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Address of a page that explains this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "http://127.0.0.1:8080/problems/validation-failed", format = "uri")]
    pub type_uri: String,
    #[schema(example = "The request is not valid")]
    pub title: &'static str,
    #[schema(example = 422, minimum = 300, maximum = 599)]
    pub status: u16,
    /// Explains this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "/email: must be an email address")]
    pub detail: Option<String>,
    #[schema(schema_with = codes)]
    pub code: &'static str,
    /// Identifies the request; also in the header `X-Request-Id` and in the server's log.
    #[schema(example = json!(EXAMPLE_REQUEST_ID))]
    pub request_id: String,
    /// The invalid fields, if fields are the cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The resources that an ambiguous name matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

fn codes() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "Stable code of the kind of problem, for programs. `GET /problems` lists all. Later versions may add codes, so \
             treat an unknown one by its `status`.",
        ))
        .pattern(Some("^[a-z0-9]+(-[a-z0-9]+)*$"))
        .examples([kind::VALIDATION_FAILED.code])
        .build()
}

/// An error response with its log entry.
#[derive(Clone, Debug)]
#[must_use = "a problem does nothing until it is returned"]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: &'static Kind,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    choices: Vec<Choice>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// PostgreSQL was unavailable.
    outage: bool,
    /// For the log only; taken when it is logged, so that it is logged once.
    cause: RefCell<Option<String>>,
}

impl Problem {
    pub fn new(kind: &'static Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: None,
            errors: Vec::new(),
            choices: Vec::new(),
            headers: Vec::new(),
            outage: false,
            cause: RefCell::new(None),
        }))
    }

    /// Makes a 500. The cause is only logged.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let problem = Self::new(&kind::INTERNAL_ERROR);
        problem.0.cause.replace(Some(cause.to_string()));
        problem
    }

    /// Makes a 503. The cause is only logged.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        let problem = Self::new(&kind::UNAVAILABLE).retry_after(1);
        problem.0.cause.replace(Some(cause.to_string()));
        problem
    }

    /// Makes a 422 about one field.
    pub fn invalid(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(&kind::VALIDATION_FAILED).field(pointer, code, message)
    }

    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(quoting(detail.into()));
        self
    }

    pub fn field(
        self,
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let error = FieldError { pointer: pointer.into(), code: code.into(), message: message.into() };
        self.fields(vec![error])
    }

    /// Adds invalid fields.
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        let safe = |FieldError { pointer, code, message }| FieldError {
            pointer: quoting(pointer.into()).into_owned(),
            code,
            message: quoting(message),
        };
        self.0.errors.extend(errors.into_iter().map(safe));
        self
    }

    pub fn choices(mut self, choices: Vec<Choice>) -> Self {
        self.0.choices = choices;
        self
    }

    /// Changes the kind and keeps the rest.
    pub fn of_kind(mut self, kind: &'static Kind) -> Self {
        self.0.kind = kind;
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Sets `Retry-After`. A 503 adds up to two seconds at random, so that clients which were refused together do
    /// not return together.
    pub fn retry_after(self, seconds: u64) -> Self {
        let more = if self.0.kind.status == 503 { RandomState::new().hash_one(()) % 3 } else { 0 };
        self.header(header::RETRY_AFTER, (seconds + more).into())
    }

    /// Sets `WWW-Authenticate`, with an `error` only if the request had credentials (RFC 6750, section 3).
    pub fn challenge(self, had_credentials: bool) -> Self {
        let value = if had_credentials {
            r#"Bearer realm="mintage", error="invalid_token""#
        } else {
            r#"Bearer realm="mintage""#
        };
        self.header(header::WWW_AUTHENTICATE, HeaderValue::from_static(value))
    }

    /// What the body says in words.
    pub fn text(&self) -> String {
        self.0.detail.as_ref().map_or(self.0.kind.title, |detail| detail).to_owned()
    }

    pub fn kind(&self) -> &'static Kind {
        self.0.kind
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The first invalid field, for tests.
    #[cfg(test)]
    pub(super) fn first_field(&self) -> Option<&FieldError> {
        self.0.errors.first()
    }

    fn body(&self) -> ProblemBody {
        let Inner { kind, detail, errors, choices, .. } = &*self.0;
        let first = || errors.first().map(FieldError::to_string);
        let (request_id, public_url) = current::current();
        ProblemBody {
            type_uri: format!("{public_url}/problems/{}", kind.code),
            title: kind.title,
            status: kind.status,
            detail: detail.as_ref().map(std::string::ToString::to_string).or_else(first),
            code: kind.code,
            request_id,
            errors: errors.clone(),
            choices: choices.clone(),
        }
    }

    fn log(&self, request_id: &str) {
        let Some(cause) = self.0.cause.take() else {
            return;
        };
        let (code, request_id_from) = (self.0.kind.code, current::request_id_from());
        if self.0.kind.status == 503 {
            tracing::warn!(request_id, request_id_from, code, cause, "answered 503");
        } else {
            tracing::error!(request_id, request_id_from, code, cause, "answered 500");
        }
    }
}

/// For logs: contains the cause, unlike the body.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.kind.status, self.0.kind.code)?;
        match &*self.0.cause.borrow() {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.kind.status).expect("the table holds HTTP statuses")
    }

    fn error_response(&self) -> HttpResponse {
        let body = self.body();
        self.log(&body.request_id);
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        for pair in &self.0.headers {
            response.append_header(pair.clone());
        }
        let json = serde_json::to_vec(&body).expect("strings and numbers serialise");
        response.body(json)
    }
}

impl Outage for Problem {
    fn is_outage(&self) -> bool {
        self.0.outage
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy(_) | DbError::Contended(_) => Self::unavailable(error),
            DbError::Unavailable(_) => {
                let mut problem = Self::unavailable(error);
                problem.0.outage = true;
                problem
            }
            DbError::Query(diesel::result::Error::NotFound) => Self::new(&kind::NOT_FOUND),
            DbError::Query(error) => Self::internal(error),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::TooLarge(_) => Self::internal(error),
            StorageError::Busy | StorageError::Slow | StorageError::Failed(_) => Self::unavailable(error),
        }
    }
}

impl From<diesel::result::Error> for Problem {
    fn from(error: diesel::result::Error) -> Self {
        DbError::from(error).into()
    }
}
