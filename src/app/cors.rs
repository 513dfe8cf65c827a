//! Decides which web pages may call the API from a browser (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! Requests carry bearer tokens and no cookies, so the browser sends no credentials by itself and none are allowed.

use actix_cors::{Cors, CorsError};
use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use url::Url;

use crate::{
    config::{Config, Profile, is_this_computer},
    http::{Problem, RATE_LIMIT, RATE_LIMIT_POLICY, X_REQUEST_ID, kind},
    idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED},
    tokens::X_API_KEY,
};

/// Seconds for which a browser remembers the answer to a preflight.
const MAX_AGE: usize = 3600;

/// The origins of pages that may call the API.
#[derive(Clone, Debug)]
pub enum Origins {
    /// Any page on this computer: `localhost` or an address such as `127.0.0.1` or `[::1]`, on any port.
    Local,
    /// These; `*` for any. None if it is empty.
    Listed(Vec<String>),
}

impl Origins {
    /// The default of development lets a frontend call that is served on another port.
    pub fn new(config: &Config) -> Self {
        let listed = &config.server.cors_origins;
        if config.profile == Profile::Development && listed.is_empty() {
            return Self::Local;
        }
        Self::Listed(listed.clone())
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::Listed(origins) if origins.is_empty())
    }
}

/// The middleware for the whole API.
pub fn cors(origins: &Origins) -> Cors {
    let cors = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
            IDEMPOTENCY_KEY,
            X_API_KEY,
            X_REQUEST_ID,
            // Added by libraries and developer tools.
            header::CACHE_CONTROL,
            header::PRAGMA,
            HeaderName::from_static("x-requested-with"),
            // Added by tracing in browsers (W3C Trace Context and Baggage; Sentry).
            HeaderName::from_static("sentry-trace"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            HeaderName::from_static("baggage"),
        ])
        .expose_headers([
            header::CONTENT_DISPOSITION,
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            IDEMPOTENCY_REPLAYED,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            X_REQUEST_ID,
        ])
        .block_on_origin_mismatch(false)
        .max_age(MAX_AGE);
    match origins {
        Origins::Local => cors.allowed_origin_fn(|origin, _| is_local(origin)),
        Origins::Listed(all) if all.iter().any(|origin| origin == "*") => {
            cors.allow_any_origin().send_wildcard()
        }
        Origins::Listed(all) => all.iter().fold(cors, |cors, origin| cors.allowed_origin(origin)),
    }
}

/// Whether a page with this origin was served by this computer. Compares the parsed host, since
/// `http://localhost.example.com` and `http://127.0.0.1.example.com` belong to strangers.
fn is_local(origin: &HeaderValue) -> bool {
    let url = origin.to_str().ok().and_then(|text| Url::parse(text).ok().filter(|url| is_origin(url, text)));
    url.is_some_and(|url| url.host().is_some_and(|host| is_this_computer(&host)))
}

/// Whether the text is the origin as a browser writes it: scheme, host and port, and nothing else.
fn is_origin(url: &Url, text: &str) -> bool {
    matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
}

/// Whether every page may read this: keys, metadata and descriptions, the same for all and without secrets.
fn is_public(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || matches!(path, "/openapi.json" | "/openapi-3.0.json" | "/postman.json")
}

/// Lets pages of any origin read what is public, whatever origins may call the API. For the rest, answers a preflight that
/// [`cors`] has refused with a problem.
pub async fn open_public<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if !is_public(req.path()) {
        let response = next.call(req).await?;
        return match response.response().error().and_then(Error::as_error) {
            Some(error) => Err(refused(error).into()),
            None => Ok(response.map_into_left_body()),
        };
    }
    let is_preflight =
        req.method() == Method::OPTIONS && req.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        req.into_response(preflight()).map_into_right_body()
    } else {
        next.call(req).await?.map_into_left_body()
    };
    allow_all(response.headers_mut());
    Ok(response)
}

/// The problem of a preflight that is refused.
fn refused(error: &CorsError) -> Problem {
    let detail = match error {
        CorsError::OriginNotAllowed => "the origin of the page is not in CORS_ORIGINS".to_owned(),
        CorsError::MethodNotAllowed => {
            "the method in `Access-Control-Request-Method` is not allowed".to_owned()
        }
        CorsError::HeadersNotAllowed => {
            "a header in `Access-Control-Request-Headers` is not allowed".to_owned()
        }
        other => other.to_string(),
    };
    Problem::new(&kind::CORS_REFUSED).detail(detail)
}

fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
        // These need no token, and `*` does not cover `Authorization`.
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
        .finish()
}

fn allow_all(headers: &mut HeaderMap) {
    let all = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, all.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_of_this_computer_are_local() {
        for local in [
            "http://localhost",
            "http://localhost:5173",
            "https://localhost:8443",
            "http://127.0.0.1:3000",
            "http://127.0.0.2",
            "http://[::1]:3000",
        ] {
            assert!(is_local(&HeaderValue::from_static(local)), "{local}");
        }
        for stranger in [
            "null",
            "",
            "localhost",
            "http://",
            "http://localhost.example.com",
            "http://localhost.",
            "http://app.localhost:3000",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "http://localhost:80@example.com",
            "http://user@localhost",
            "http://localhost/",
            "http://localhost:5173/path",
            "http://example.com#localhost",
            "http://example.com?http://localhost",
            "http://localhost, http://example.com",
            "http://LOCALHOST",
            "http://127.1:3000",
            "http://0.0.0.0:3000",
            "http://192.168.0.10:3000",
            // A browser writes it otherwise.
            "http://[::ffff:127.0.0.1]:3000",
            "file://localhost",
            "chrome-extension://localhost",
            "ws://localhost:3000",
        ] {
            assert!(!is_local(&HeaderValue::from_static(stranger)), "{stranger}");
        }
    }

    #[test]
    fn only_public_paths_are_open_to_all() {
        for path in ["/openapi.json", "/openapi-3.0.json", "/postman.json", "/.well-known/jwks.json"] {
            assert!(is_public(path), "{path}");
        }
        for path in ["/", "/api/v1/coins", "/openapi.json/", "/.well-known", "/api/v1/.well-known/jwks.json"]
        {
            assert!(!is_public(path), "{path}");
        }
    }
}
