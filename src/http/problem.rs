//! Problem details (RFC 9457): the one type that answers HTTP with an error.
//!
//! Which error type belongs where:
//! - a handler returns [`Problem`]; `?` turns a [`DbError`] into a 503 or a 500;
//! - a store returns Diesel's `QueryResult`, and the handler maps the constraint it expects;
//! - start-up and the command line use `anyhow`, since a person reads the text.
//!
//! Causes go to the log together with the request id, never into a body.

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
    envelope,
    kind::{self, Kind},
};
use crate::db::{DbError, Outage};

/// In the form of `envelope::new_request_id`.
pub(super) const EXAMPLE_REQUEST_ID: &str = "7d3f0a9c51e84b26a0c4e19f6b82d735";

/// One thing that is wrong with the request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the body, or to a query parameter by its name.
    #[schema(example = "/email")]
    pub pointer: String,
    /// Stable and machine-readable.
    #[schema(example = "email")]
    pub code: Cow<'static, str>,
    /// For people.
    #[schema(example = "must be an e-mail address")]
    pub message: Cow<'static, str>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

/// One of several things that a name means.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Choice {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "Bitcoin (BTC)")]
    pub title: String,
    /// Relative to the address that was asked.
    #[schema(example = "/api/v1/coins/1", format = "uri-reference")]
    pub href: String,
}

/// The body of every error (RFC 9457, `application/problem+json`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A page that explains this sort of problem.
    #[serde(rename = "type")]
    #[schema(example = "http://127.0.0.1:8080/problems/validation-failed", format = "uri")]
    pub type_uri: String,
    #[schema(example = "The request is not valid")]
    pub title: &'static str,
    #[schema(example = 422, minimum = 300, maximum = 599)]
    pub status: u16,
    /// What is particular to this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "/email: must be an e-mail address")]
    pub detail: Option<String>,
    #[schema(schema_with = codes)]
    pub code: &'static str,
    /// Also in the header `X-Request-Id` and in the server's log.
    #[schema(example = json!(EXAMPLE_REQUEST_ID))]
    pub request_id: String,
    /// What is wrong with each field, where fields are to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What an ambiguous name may mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

fn codes() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Stable, for programs; a later version may know more."))
        .enum_values(Some(kind::ALL.iter().map(|kind| kind.code)))
        .examples([kind::VALIDATION_FAILED.code])
        .build()
}

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: &'static Kind,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    choices: Vec<Choice>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// PostgreSQL could not serve.
    outage: bool,
    /// For the log; taken when it is written there.
    cause: RefCell<Option<String>>,
}

impl Problem {
    #[must_use]
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

    /// A 500; the cause goes to the log only.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        let problem = Self::new(&kind::INTERNAL_ERROR);
        problem.0.cause.replace(Some(cause.to_string()));
        problem
    }

    /// A 503; the cause goes to the log only.
    #[must_use]
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        let problem = Self::new(&kind::UNAVAILABLE).retry_after(1);
        problem.0.cause.replace(Some(cause.to_string()));
        problem
    }

    /// A 422 about one field.
    #[must_use]
    pub fn invalid(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(&kind::VALIDATION_FAILED).field(pointer, code, message)
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn field(
        mut self,
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            code: code.into(),
            message: message.into(),
        });
        self
    }

    #[must_use]
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    #[must_use]
    pub fn choices(mut self, choices: Vec<Choice>) -> Self {
        self.0.choices = choices;
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Of a 503 up to two seconds more, at random: clients that were refused together come back apart.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        let more = if self.0.kind.status == 503 { RandomState::new().hash_one(()) % 3 } else { 0 };
        self.header(header::RETRY_AFTER, (seconds + more).into())
    }

    /// `WWW-Authenticate` as RFC 6750 section 3 wants it: an `error` only when credentials came.
    #[must_use]
    pub fn challenge(self, credentials_came: bool) -> Self {
        let value = if credentials_came {
            r#"Bearer realm="mintage", error="invalid_token""#
        } else {
            r#"Bearer realm="mintage""#
        };
        self.header(header::WWW_AUTHENTICATE, HeaderValue::from_static(value))
    }

    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        self.0.kind
    }

    /// The first field to blame, for tests.
    #[cfg(test)]
    pub(super) fn first_field(&self) -> Option<&FieldError> {
        self.0.errors.first()
    }

    fn body(&self) -> ProblemBody {
        let Inner { kind, detail, errors, choices, .. } = &*self.0;
        let first = || errors.first().map(FieldError::to_string);
        let (request_id, public_url) = envelope::current();
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
        let (code, request_id_from) = (self.0.kind.code, envelope::request_id_from());
        if self.0.kind.status == 503 {
            tracing::warn!(request_id, request_id_from, code, cause, "answered 503");
        } else {
            tracing::error!(request_id, request_id_from, code, cause, "answered 500");
        }
    }
}

/// For logs: unlike the body, it tells the cause.
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

impl From<diesel::result::Error> for Problem {
    fn from(error: diesel::result::Error) -> Self {
        DbError::from(error).into()
    }
}
