//! Errors in the form of OAuth 2.0 (RFC 6749 section 5.2).

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Problem, kind};

/// An error of an OAuth endpoint.
#[derive(Serialize, ToSchema)]
pub struct OAuthErrorBody {
    /// What is wrong, for programs.
    #[schema(example = "invalid_request")]
    error: &'static str,
    /// The same for people.
    #[schema(example = "`token` is missing")]
    error_description: String,
}

/// Why a request is refused.
#[derive(Debug)]
pub enum OAuthError {
    /// The form is wrong.
    InvalidRequest(&'static str),
    /// The credentials are missing or wrong; whether there were any.
    InvalidClient(Problem, bool),
    /// The API key lacks the scope, or an access token was sent.
    InsufficientScope(Problem),
    /// What OAuth does not define.
    Other(Problem),
}

impl OAuthError {
    /// Of the credentials of a request.
    pub fn of_client(problem: Problem) -> Self {
        match problem.kind().code {
            code if code == kind::MISSING_TOKEN.code => Self::InvalidClient(problem, false),
            code if code == kind::INSUFFICIENT_SCOPE.code => Self::InsufficientScope(problem),
            _ if problem.kind().status == 401 => Self::InvalidClient(problem, true),
            _ => Self::Other(problem),
        }
    }

    fn body(&self) -> Option<OAuthErrorBody> {
        let (error, error_description) = match self {
            Self::InvalidRequest(why) => ("invalid_request", (*why).to_owned()),
            Self::InvalidClient(_, false) => (
                "invalid_client",
                "authenticate with an API key that has the scope `tokens:introspect`, as the secret of HTTP Basic, as \
                 bearer token or as X-Api-Key"
                    .to_owned(),
            ),
            Self::InvalidClient(problem, true) => ("invalid_client", problem.text()),
            Self::InsufficientScope(problem) => ("insufficient_scope", problem.text()),
            Self::Other(_) => return None,
        };
        Some(OAuthErrorBody { error, error_description })
    }
}

impl From<Problem> for OAuthError {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.body()) {
            (Self::Other(problem), _) => problem.fmt(f),
            (_, body) => f.write_str(body.map_or("", |body| body.error)),
        }
    }
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            Self::InvalidClient(..) => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) => StatusCode::FORBIDDEN,
            Self::Other(problem) => problem.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Other(problem) = self {
            return problem.error_response();
        }
        let mut response = HttpResponse::build(self.status_code());
        // One challenge for each way to authenticate (RFC 6749 section 5.2, RFC 6750 section 3).
        let bearer = match self {
            Self::InvalidClient(_, false) => r#"Bearer realm="mintage""#,
            Self::InvalidClient(_, true) => r#"Bearer realm="mintage", error="invalid_token""#,
            _ => r#"Bearer realm="mintage", error="insufficient_scope", scope="tokens:introspect""#,
        };
        if matches!(self, Self::InvalidClient(..)) {
            response.append_header((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Basic realm="mintage", charset="UTF-8""#),
            ));
        }
        if !matches!(self, Self::InvalidRequest(_)) {
            response.append_header((header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer)));
        }
        response.json(self.body())
    }
}
