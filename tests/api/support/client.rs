//! A client that checks every answer against the OpenAPI document.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::{contract, secrets};

/// Talks HTTP as a user would; every answer is held against the OpenAPI document.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
    pub id: String,
    pub email: String,
    /// What a proxy says of where the request comes from.
    forwarded_for: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(base: &str) -> Self {
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).gzip(false).no_proxy();
        // A server ends a connection that has had no request for 5 s since it was opened. So none is kept
        // for long, and making many clients at once takes no time: roots of trust would be read for each.
        let http = http.pool_idle_timeout(Duration::from_secs(2)).tls_certs_only([]);
        Self {
            http: http.build().expect("client"),
            base: base.to_owned(),
            access_token: None,
            refresh_token: None,
            id: String::new(),
            email: String::new(),
            forwarded_for: None,
        }
    }

    /// The same user on another server.
    pub fn on(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same user behind a proxy that names this address; the server has to trust it.
    pub fn at(&self, address: &str) -> Self {
        Self { forwarded_for: Some(address.to_owned()), ..self.clone() }
    }

    /// The same server with another access token.
    pub fn bearing(&self, token: &str) -> Self {
        Self { access_token: Some(token.to_owned()), ..self.clone() }
    }

    /// Keeps the tokens of a log-in or a refresh.
    pub fn take(&mut self, pair: &Value) {
        let text = |name: &str| pair[name].as_str().map(str::to_owned);
        (self.access_token, self.refresh_token) = (text("access_token"), text("refresh_token"));
    }

    pub fn token(&self) -> &str {
        self.access_token.as_deref().expect("logged in")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, |request| request).await
    }

    /// Of a server that may be gone.
    pub async fn try_get(&self, path: &str) -> Option<StatusCode> {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(self.token());
        request.send().await.ok().map(|answer| answer.status())
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, |request| request).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, |request| request.json(body)).await
    }

    /// Again while the answer is a 503: on a slow machine many requests about one row wait too long for each other.
    pub async fn post_until_served(&self, path: &str, body: &Value) -> Response {
        loop {
            let answer = self.post(path, body).await;
            if answer.status != 503 {
                return answer;
            }
        }
    }

    pub async fn post_empty(&self, path: &str) -> Response {
        self.send(Method::POST, path, |request| request).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Response {
        self.send(Method::PATCH, path, |request| request.json(body)).await
    }

    /// Refreshes and keeps the new tokens, if that works.
    pub async fn refresh(&mut self) -> Response {
        let response = self.refresh_with(self.refresh_token.as_deref().expect("logged in")).await;
        if response.status == 200 {
            self.take(&response.json());
        }
        response
    }

    pub async fn refresh_with(&self, token: &str) -> Response {
        self.post("/api/v1/auth/refresh", &json!({"refresh_token": token})).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.access_token {
            request = request.bearer_auth(token);
        }
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        let request = build(request).build().expect("a request");
        if let Some(body) = request.body().and_then(reqwest::Body::as_bytes) {
            secrets::note(&self.base, body);
        }
        let answer = self.http.execute(request).await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.expect("a whole body").to_vec();
        secrets::note(&self.base, &body);
        let response = Response { status, headers, body };
        contract::check(&method, path, &response);
        response
    }
}

impl Response {
    #[track_caller]
    pub fn assert(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// A problem of this status and code.
    #[track_caller]
    pub fn assert_problem(self, status: u16, code: &str) -> Self {
        let response = self.assert(status);
        assert_eq!(response.json()["code"], code, "{}", response.text());
        response
    }

    /// A 422 that blames `pointer` with `code`.
    #[track_caller]
    pub fn assert_invalid(self, pointer: &str, code: &str) -> Self {
        let response = self.assert_problem(422, "validation-failed");
        let errors = response.json()["errors"].clone();
        let named = errors.as_array().expect("errors").iter();
        let found = named.clone().any(|error| error["pointer"] == pointer && error["code"] == code);
        assert!(found, "no {code} at {pointer} in {errors}");
        response
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }
}
