//! The outermost middleware: request id, HEAD, panics, security headers, log.

use std::{
    hash::{BuildHasher, RandomState},
    panic::AssertUnwindSafe,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{self, BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;

use super::{
    connection::Answering, current::Current, kind, problem::Problem, quota::Quota, requests::Requests,
    shutdown::Shutdown, unread_body::RequestBody,
};
use crate::db;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Settings of [`envelope()`]; registered as application data.
#[derive(Clone)]
pub struct Envelope {
    pub public_url: Arc<str>,
    pub https: bool,
    /// Whether each request is logged with the level `info` instead of `debug`.
    pub logs_requests: bool,
    pub shutdown: Arc<Shutdown>,
}

impl Envelope {
    pub fn new(public_url: &str, logs_requests: bool) -> Self {
        let https = public_url.starts_with("https:");
        Self { public_url: public_url.into(), https, logs_requests, shutdown: Arc::default() }
    }
}

/// Wraps the whole application and turns every error inside into a problem.
pub async fn envelope<B: MessageBody + 'static>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let _answering = Answering::begin(&req);
    let body = RequestBody::take(&mut req);
    let (request_id, request_id_from) = match client_request_id(&req) {
        Some(id) => (id, Some("client")),
        None => (new_request_id(), None),
    };
    let settings = req.app_data::<web::Data<Envelope>>().expect("set by the app").clone();
    let method = req.method().clone();
    let logged_path = path_to_log(&req, settings.logs_requests);
    let requests = req.app_data::<web::Data<Requests>>().cloned();
    let route = requests.as_ref().map(|requests| requests.route(&method, req.path()));
    if method == Method::HEAD {
        // Routed as GET. The HTTP server remembers the method and sends no body.
        req.head_mut().method = Method::GET;
    }
    let public_url = settings.public_url.clone();
    let current = Current { request_id: request_id.clone(), request_id_from, public_url };
    let mut result = current.scope(db::within_budget(handle(req, next))).await;
    if method == Method::HEAD {
        result = result.map(without_stream);
    }
    if let Some(body) = body {
        result = match result {
            Ok(response) => Ok(response.map_body(|_, response| body.held_by(response))),
            Err(response) => Err(response.map_body(|_, response| body.held_by(response))),
        };
    }
    if let Some(path) = logged_path {
        let (ids, what) = ((&request_id, request_id_from), (&method, &*path));
        log_request(&result, ids, what, settings.logs_requests, started);
    }
    let quota =
        result.as_ref().ok().and_then(|response| response.request().extensions().get::<Quota>().copied());
    let head = match &mut result {
        Ok(response) => response.response_mut(),
        Err(response) => response,
    };
    if let (Some(requests), Some(route)) = (requests, route) {
        requests.count(route, head.status(), started.elapsed());
    }
    add_headers(head.headers_mut(), request_id, &settings);
    if let Some(quota) = quota {
        quota.write(head.headers_mut());
    }
    if settings.shutdown.is_draining() {
        head.head_mut().set_connection_type(ConnectionType::Close);
    }
    result.map_err(|response| InternalError::from_response("failed", response).into())
}

/// Removes the body of a HEAD response if it is a stream: the server would read all of it, and it may have no end.
fn without_stream(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    response.map_body(|_, body| match body.size() {
        BodySize::Stream => BoxBody::new(body::None::new()),
        _ => body,
    })
}

/// At most this many characters of a path are logged.
const MAX_LOGGED_PATH: usize = 200;

/// The path for the line of the log, if the request is logged: at `info`, or in production at `debug`. The line has neither
/// the query, which may hold a token, nor the client's address.
fn path_to_log(req: &ServiceRequest, with_info: bool) -> Option<String> {
    let is_logged =
        tracing::enabled!(tracing::Level::DEBUG) || with_info && tracing::enabled!(tracing::Level::INFO);
    is_logged.then(|| req.path().chars().take(MAX_LOGGED_PATH).collect())
}

fn log_request(
    result: &Result<ServiceResponse<BoxBody>, HttpResponse>,
    (request_id, request_id_from): (&HeaderValue, Option<&'static str>),
    (method, path): (&Method, &str),
    with_info: bool,
    started: Instant,
) {
    let (status, route) = match result {
        Ok(response) => (response.status(), response.request().match_pattern()),
        Err(response) => (response.status(), None),
    };
    let (status, request_id) = (status.as_u16(), request_id.to_str().unwrap_or_default());
    // As JSON, 128 bits would be a text.
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if with_info {
        tracing::info!(%method, path, route, status, ms, request_id, request_id_from, "request");
    } else {
        tracing::debug!(%method, path, route, status, ms, request_id, request_id_from, "request");
    }
}

async fn handle<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, HttpResponse> {
    match AssertUnwindSafe(next.call(req)).catch_unwind().await {
        Ok(Ok(response)) => Ok(as_problem(response.map_into_boxed_body())),
        Ok(Err(error)) => Err(error.error_response()),
        Err(panic) => Err(panicked(panic.as_ref()).error_response()),
    }
}

/// Turns errors that the framework answers in plain text or without a body into problems.
fn as_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    // The framework answers no JSON: that is an error of OAuth, which has a form of its own.
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().starts_with(b"application/problem+json") || value == "application/json"
    });
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let kind = kind::ALL.iter().find(|kind| kind.status == status.as_u16());
    let problem = Problem::new(kind.unwrap_or(&&kind::INTERNAL_ERROR));
    response.into_response(problem.error_response())
}

/// The id that the client has sent, if it has at most 64 letters, digits and `-_.`.
fn client_request_id(req: &ServiceRequest) -> Option<HeaderValue> {
    let is_valid = |id: &&HeaderValue| {
        (1..=64).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    req.headers().get(X_REQUEST_ID).filter(is_valid).cloned()
}

/// Makes an unpredictable id of 128 bits in hexadecimal: a counter under SipHash with keys of this process, which
/// needs no system call.
fn new_request_id() -> HeaderValue {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut text = [0; 32];
    for (half, key) in text.chunks_exact_mut(16).zip(&*KEYS) {
        let hash = key.hash_one(number);
        for (n, digit) in half.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(hash >> (4 * n) & 15) as usize];
        }
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits")
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(format!("panic: {}", text.unwrap_or("no message")))
}

fn add_headers(headers: &mut header::HeaderMap, request_id: HeaderValue, settings: &Envelope) {
    headers.insert(X_REQUEST_ID, request_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if settings.https {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let value = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, body::to_bytes, middleware::from_fn, test, web::Data};

    use super::*;

    async fn boom() -> HttpResponse {
        panic!("a secret detail")
    }

    async fn plain_error() -> Result<HttpResponse, Error> {
        Err(actix_web::error::ErrorBadRequest("text"))
    }

    async fn answer(path: &str) -> (u16, String) {
        let settings = Envelope::new("http://mintage.test", false);
        let app = App::new()
            .app_data(Data::new(settings))
            .route("/boom", web::get().to(boom))
            .route("/plain", web::get().to(plain_error))
            .wrap(from_fn(envelope));
        let service = test::init_service(app).await;
        let request = test::TestRequest::get().uri(path).to_request();
        let response = match test::try_call_service(&service, request).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        assert!(response.headers().contains_key(X_REQUEST_ID));
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[actix_web::test]
    async fn a_panic_is_a_500_with_only_the_request_id() {
        let (status, body) = answer("/boom").await;
        assert_eq!(status, 500);
        assert!(body.contains("internal-error") && body.contains("request_id"));
        assert!(!body.contains("secret"));
    }

    #[actix_web::test]
    async fn plain_errors_of_the_framework_become_problems() {
        let (status, body) = answer("/plain").await;
        assert_eq!(status, 400);
        assert!(body.contains("http://mintage.test/problems/"), "{body}");
    }
}
