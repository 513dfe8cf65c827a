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

use super::current;
use crate::db::{DbError, Outage};

/// One sort of problem; `code` is stable and what clients should compare.
#[derive(Debug)]
pub struct Kind {
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// What it means and what to do, for the documented page.
    pub help: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:literal $code:literal, $title:literal, $help:literal;)*) => {
        /// Every sort of problem this server knows.
        pub mod kind {
            use super::Kind;
            $(pub const $name: Kind = Kind { code: $code, status: $status, title: $title, help: $help };)*
            pub const ALL: &[&Kind] = &[$(&$name),*];
        }
    };
}

kinds! {
    AMBIGUOUS = 300 "ambiguous", "The name means several things",
        "`choices` lists them; use the `id` or `href` of the one that is meant (RFC 9110 section 15.4.1).";
    MALFORMED_JSON = 400 "malformed-json", "The body is not JSON",
        "The request body could not be parsed as UTF-8 JSON (RFC 8259). The detail says where parsing stopped.";
    MALFORMED_QUERY = 400 "malformed-query", "The query string cannot be read",
        "A query parameter is unknown, repeated, not percent-encoded UTF-8 or not of its type. `errors` names the parameter.";
    MALFORMED_PATH = 400 "malformed-path", "The path cannot be read",
        "A path parameter is not of its type, for example an id that is not a UUID.";
    MALFORMED_HEADER = 400 "malformed-header", "A header cannot be read",
        "A request header does not have the form that its specification asks for.";
    MISSING_TOKEN = 401 "missing-token", "A bearer token is needed",
        "Send `Authorization: Bearer <access_token>` (RFC 6750) with a token from `POST /api/v1/auth/login`.";
    INVALID_TOKEN = 401 "invalid-token", "The access token is not valid",
        "The token is malformed, was not issued by this server, or is not an access token. Log in again.";
    TOKEN_EXPIRED = 401 "token-expired", "The access token has expired",
        "Get a new one with `POST /api/v1/auth/refresh`.";
    TOKEN_REVOKED = 401 "token-revoked", "The session has ended",
        "The session of this token was logged out or ended. Log in again.";
    INVALID_CREDENTIALS = 401 "invalid-credentials", "E-mail, username or password is wrong",
        "The answer is the same whether or not the account exists.";
    INVALID_REFRESH_TOKEN = 401 "invalid-refresh-token", "The refresh token is not valid",
        "It is malformed, expired, not a refresh token, or its session has ended. Log in again.";
    REFRESH_TOKEN_REUSED = 401 "refresh-token-reused", "The refresh token was used before",
        "A refresh token can be used once. This one was exchanged earlier and its successor is in use, so one of the two holders may be a thief: the whole session has ended. Log in again.";
    FORBIDDEN = 403 "forbidden", "Not allowed",
        "The token is valid, but its user may not do this.";
    WRONG_PASSWORD = 403 "wrong-password", "The password is wrong",
        "This action asks for the current password again, and it did not match.";
    EMAIL_UNCONFIRMED = 403 "email-unconfirmed", "The e-mail address is not confirmed yet",
        "The password is right, but the account waits for its confirmation: open the link or type the code of the mail, or get another mail with `POST /api/v1/auth/confirm/resend`.";
    NOT_FOUND = 404 "not-found", "Not found",
        "There is no such resource, or it is not yours. Paths have no trailing slash.";
    METHOD_NOT_ALLOWED = 405 "method-not-allowed", "Method not allowed",
        "The path exists, but not for this method. The `Allow` header lists what it takes.";
    REQUEST_TIMEOUT = 408 "request-timeout", "The body took too long",
        "The request body did not arrive completely within 10 seconds.";
    EMAIL_TAKEN = 409 "email-taken", "The e-mail address is taken",
        "Another account has this address. Addresses are compared without regard to case.";
    USERNAME_TAKEN = 409 "username-taken", "The username is taken",
        "Another account has this username. Usernames are compared without regard to case.";
    JOB_RUNNING = 409 "job-running", "The job is running",
        "An attempt is under way. Wait for its end, at most a minute, and look again.";
    SYNC_OFF = 409 "sync-off", "There is nothing to sync",
        "`COINS_PROVIDERS` names only the demonstration, which does not change.";
    LIMIT_REACHED = 409 "limit-reached", "There are too many already",
        "An account may have a limited number of these; the detail says how many. Delete one first.";
    PRECONDITION_FAILED = 412 "precondition-failed", "It has changed meanwhile",
        "`If-Match` names another version than the current one. Read it again and repeat the change.";
    PAYLOAD_TOO_LARGE = 413 "payload-too-large", "The body is too large",
        "A JSON body may have 64 KiB.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported-media-type", "The body must be JSON",
        "Send `Content-Type: application/json`, without a content coding.";
    VALIDATION_FAILED = 422 "validation-failed", "The request is not valid",
        "The request is well-formed, but values are missing, unknown or out of range. `errors` lists each with a JSON Pointer (RFC 6901).";
    INVALID_CODE = 422 "invalid-code", "The code or the link is not valid",
        "It is wrong, has expired, was used, was tried too often, or a newer one has replaced it. The answer is the same whether or not the account exists. Ask for another mail.";
    TOO_MANY_REQUESTS = 429 "too-many-requests", "Too many requests",
        "Wait for as many seconds as `Retry-After` says.";
    INTERNAL_ERROR = 500 "internal-error", "Something went wrong on our side",
        "The cause is in the server's log under the `request_id`.";
    UNAVAILABLE = 503 "unavailable", "Temporarily unavailable",
        "A part that this request needs cannot be reached. Try again after as many seconds as `Retry-After` says.";
    OVERLOADED = 503 "overloaded", "Too much to do",
        "A bounded queue is full. Try again after as many seconds as `Retry-After` says.";
}

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
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
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
