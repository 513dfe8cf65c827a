//! Bad input of every kind is a clear 4xx.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{
    App, Client, Database, PASSWORD, Response,
    binary::{Server, directory},
    speak,
};

const REGISTER: &str = "/api/v1/auth/register";

async fn post_raw(app: &App, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
    let build = |request: RequestBuilder| request.header("content-type", content_type).body(body);
    app.anyone().send(Method::POST, REGISTER, build).await
}

#[tokio::test]
async fn nul_bytes_are_refused_in_every_text() {
    let app = App::start();
    for field in ["email", "password", "name", "username"] {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
        body[field] = "a\u{0}b".into();
        app.anyone().post(REGISTER, &body).await.assert_invalid(&format!("/{field}"), "control-character");
    }
}

#[tokio::test]
async fn malformed_json_is_a_400() {
    let app = App::start();
    let deep = "[".repeat(30_000);
    let deep_object = r#"{"a":"#.repeat(5_000);
    let bad_utf8 = b"{\"email\":\"\xff\xfe\"}".to_vec();
    for body in [
        Vec::new(),
        b"{".to_vec(),
        b"nonsense".to_vec(),
        bad_utf8,
        deep.into(),
        deep_object.into(),
        br#"{"email":"a"} trailing"#.to_vec(),
        br#"{"email":"\ud800"}"#.to_vec(),
    ] {
        post_raw(&app, "application/json", body).await.assert_problem(400, "malformed-json");
    }
}

#[tokio::test]
async fn json_of_another_shape_is_a_422_that_names_the_field() {
    let app = App::start();
    let cases = [
        (r#"{"password":"x"}"#, "/email", "required"),
        (r#"{"email":1,"password":"x"}"#, "/email", "type"),
        (r#"{"email":null,"password":"x"}"#, "/email", "type"),
        (r#"{"email":"a","email":"b","password":"x"}"#, "/email", "duplicate-field"),
        (r#"{"email":"a","password":"x","extra":1}"#, "/extra", "unknown-field"),
        (r#"{"email":["a"],"password":"x"}"#, "/email", "type"),
        ("[]", "", "type"),
        ("null", "", "type"),
        ("\"text\"", "", "type"),
    ];
    for (body, pointer, code) in cases {
        post_raw(&app, "application/json", body).await.assert_invalid(pointer, code);
    }
}

#[tokio::test]
async fn a_large_body_is_a_413() {
    let app = App::start();
    let body = json!({"email": "ada@example.com", "password": "x".repeat(1024 * 1024)});
    app.anyone().post(REGISTER, &body).await.assert_problem(413, "payload-too-large");
    // Without a length, so that it has to be counted.
    let chunked = "POST /api/v1/auth/register HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, "x".repeat(32 * 1024));
    let bytes = [chunked, &chunk, &chunk, &chunk, "0\r\n\r\n"].concat();
    assert!(speak(&app.base, bytes.as_bytes()).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn other_content_types_are_a_415() {
    let app = App::start();
    let body = format!(r#"{{"email":"ada@example.com","password":"{PASSWORD}"}}"#);
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""]
    {
        post_raw(&app, content_type, body.clone()).await.assert_problem(415, "unsupported-media-type");
    }
    let build = |request: RequestBuilder| {
        request
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(body.clone())
    };
    app.anyone().send(Method::POST, REGISTER, build).await.assert_problem(415, "unsupported-media-type");
    post_raw(&app, "application/json; charset=utf-8", body).await.assert(201);
}

#[tokio::test]
async fn wrong_methods_are_a_405_that_lists_the_right_ones() {
    let app = App::start();
    let put = app.anyone().send(Method::PATCH, "/api/v1/user/avatar", |request| request).await;
    assert_eq!(put.assert_problem(405, "method-not-allowed").header("allow"), "PUT, DELETE, OPTIONS");
    let import =
        app.admin().await.get("/api/v1/users/import").await.assert_problem(405, "method-not-allowed");
    assert_eq!(import.header("allow"), "POST, OPTIONS");
    let get = app.anyone().get(REGISTER).await.assert_problem(405, "method-not-allowed");
    assert_eq!(get.header("allow"), "POST, OPTIONS");
    let trace = app.anyone().send(Method::TRACE, "/api/v1/coins", |request| request).await;
    trace.assert_problem(405, "method-not-allowed");
    let options = app.anyone().send(Method::OPTIONS, "/api/v1/coins", |request| request).await.assert(204);
    assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn unknown_paths_are_a_404() {
    let app = App::start();
    for path in [
        "/nope",
        "/api/v1",
        "/api/v1/",
        "/api/v1/coins/",
        "/api/v2/coins",
        "/api/v1/users/a/b",
        "//api/v1/coins",
        "/api/v1/../v1/coins/%2e%2e",
        "/%00",
        "/%ff",
        "/apidocs/nope",
    ] {
        let response = app.anyone().get(path).await;
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.json()["code"], "not-found", "{path}");
    }
}

#[tokio::test]
async fn path_parameters_of_any_bytes_are_4xx() {
    let app = App::start();
    let user = app.user().await;
    for symbol in ["%00", "%ff", "%F0%9F%A6%80", "..%2f..", "'%20OR%201=1", &"x".repeat(5000)] {
        let response = user.get(&format!("/api/v1/coins/{symbol}")).await;
        assert!(matches!(response.status.as_u16(), 400 | 404), "{symbol} is {}", response.status);
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let app = App::start();
    let user = app.user().await;
    for path in ["/healthz", "/api/v1/coins", "/api/v1/user"] {
        let head = user.send(Method::HEAD, path, |request| request).await.assert(200);
        let get = user.get(path).await.assert(200);
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length"), get.body.len().to_string());
    }
    app.anyone().send(Method::HEAD, "/api/v1/coins", |request| request).await.assert(401);
}

#[tokio::test]
async fn an_incomplete_body_is_a_408() {
    let app = App::start();
    let head = "POST /api/v1/auth/register HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 10\r\nconnection: close\r\n\r\n{\"";
    let answer = speak(&app.base, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request-timeout"));
}

#[tokio::test]
async fn an_incomplete_request_head_times_out() {
    let app = App::start();
    let answer = speak(&app.base, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn malformed_http_is_a_400() {
    let app = App::start();
    for bytes in [
        "NONSENSE\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = speak(&app.base, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
    }
}

#[tokio::test]
async fn safe_request_ids_of_clients_are_kept() {
    let app = App::start();
    let get = async |id: &str| {
        let build = |request: RequestBuilder| request.header("x-request-id", id);
        app.anyone().send(Method::GET, "/nope", build).await.assert(404)
    };
    let response = get("trace-1.2_3").await;
    assert_eq!(
        (response.header("x-request-id"), &response.json()["request_id"]),
        ("trace-1.2_3", &json!("trace-1.2_3"))
    );
    for harmful in ["a b", "<script>", &"x".repeat(65)] {
        assert_ne!(get(harmful).await.header("x-request-id"), harmful);
    }
}

#[tokio::test]
async fn a_request_id_that_the_client_chose_is_marked_in_every_log_line() {
    let (database, home) = (Database::create(), directory());
    let (url, path) = (database.url(), home.path().join("log"));
    let settings = [("DATABASE_URL", url.expose()), ("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json")];
    let log = std::fs::File::create(&path).unwrap();
    let mut server = Server::start_logging_to(log.into(), home.path(), &settings);
    let client = Client::new(&server.base);
    database.go_away();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let chosen = |request: RequestBuilder| request.header("x-request-id", "chosen-1").json(&body);
    client.send(Method::POST, "/api/v1/auth/login", chosen).await.assert(503);
    let ours = client.post("/api/v1/auth/login", &body).await.assert(503);
    server.stop();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines_of = |id: &str| -> Vec<&str> { text.lines().filter(|line| line.contains(id)).collect() };
    let (theirs, ours) = (lines_of("chosen-1"), lines_of(ours.header("x-request-id")));
    assert_eq!((theirs.len(), ours.len()), (2, 2), "the failure and the request: {text}");
    assert!(theirs.iter().all(|line| line.contains(r#""request_id_from":"client""#)), "{theirs:?}");
    assert!(!ours.iter().any(|line| line.contains("request_id_from")), "{ours:?}");
    database.come_back();
}

#[tokio::test]
async fn a_wrong_query_parameter_is_named() {
    let app = App::start();
    let user = app.user().await;
    for (query, pointer) in [
        ("limit=1&limit=2", "/limit"),
        ("limit=x", "/limit"),
        ("page=1", "/page"),
        ("sort=nonsense", "/sort"),
    ] {
        let problem = user.get(&format!("/api/v1/coins?{query}")).await;
        let body = problem.assert_problem(400, "malformed-query").json();
        assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
    }
}
