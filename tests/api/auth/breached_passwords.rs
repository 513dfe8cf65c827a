//! Passwords from data breaches, looked up at a local service that speaks the protocol of haveibeenpwned.com.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};

use crate::support::{
    App, PASSWORD, Response, eventually,
    upstream::{Reply, Upstream},
};

const REGISTER: &str = "/api/v1/auth/register";
const OTHER: &str = "0018A45C4D1DEF81644B54AB7F969B88D65:3";
const TEXT: &str = "content-type: text/plain\r\n";

/// The prefix that is sent and the rest of the hash.
fn hash(password: &str) -> (String, String) {
    let bytes = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut text = String::new();
    bytes.as_ref().iter().for_each(|byte| write!(text, "{byte:02X}").unwrap());
    let rest = text.split_off(5);
    (text, rest)
}

fn list(lines: &[&str]) -> Reply {
    Reply::Raw(TEXT, lines.join("\r\n").into_bytes())
}

async fn register(app: &App, email: &str, password: &str) -> Response {
    app.anyone().post(REGISTER, &json!({"email": email, "password": password})).await
}

async fn with(replies: Vec<Reply>) -> (App, Upstream) {
    let service = Upstream::start(replies).await;
    let url = format!("{}/range/", service.url);
    (App::with(&[("PASSWORD_BREACH_URL", &url), ("METRICS_BIND", "127.0.0.1:0")]), service)
}

async fn lookups(app: &App, result: &str) -> String {
    let text = reqwest::get(app.metrics.as_ref().unwrap()).await.unwrap().text().await.unwrap();
    let name = format!("mintage_breach_lookups_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(name.as_str())).unwrap().to_owned()
}

#[tokio::test]
async fn a_breached_password_is_refused_and_only_a_prefix_of_its_hash_is_sent() {
    let (prefix, rest) = hash(PASSWORD);
    let (app, service) = with(vec![list(&[OTHER, &format!("{rest}:17")])]).await;
    let refused = register(&app, "ada@example.com", PASSWORD).await.assert_invalid("/password", "common");
    assert!(refused.text().contains("data breach"), "{}", refused.text());
    let requests = service.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(request.starts_with(&format!("GET /range/{prefix} HTTP/1.1\r\n")), "{request}");
    let lower = request.to_lowercase();
    assert!(lower.contains("add-padding: true") && lower.contains("user-agent: mintage/"), "{request}");
    assert!(!lower.contains(&rest.to_lowercase()) && !request.contains(PASSWORD), "{request}");
    assert_eq!(lookups(&app, "breached").await, "1");
}

#[tokio::test]
async fn a_password_that_is_not_in_the_list_or_only_as_padding_is_accepted() {
    let (_, rest) = hash(PASSWORD);
    let (app, service) = with(vec![list(&[OTHER, &format!("{rest}:0")])]).await;
    register(&app, "ada@example.com", PASSWORD).await.assert(201);
    // The answer is used again for a while.
    register(&app, "bob@example.com", PASSWORD).await.assert(201);
    assert_eq!(service.requests().len(), 1);
    assert_eq!((lookups(&app, "unknown").await.as_str(), lookups(&app, "failed").await.as_str()), ("2", "0"));
    // The built-in list applies before anything is sent.
    register(&app, "eve@example.com", "password123").await.assert_invalid("/password", "common");
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn without_a_usable_answer_the_password_is_accepted() {
    let (_, rest) = hash(PASSWORD);
    let breached = format!("{rest}:17");
    let huge = [breached.as_bytes(), b"\r\n", &vec![b'A'; 1024 * 1024]].concat();
    let replies = [
        Reply::Http(500, "", breached.clone().into_bytes()),
        Reply::Http(429, "retry-after: 60\r\n", Vec::new()),
        Reply::Http(302, "location: /elsewhere\r\n", Vec::new()),
        Reply::Raw(TEXT, huge),
        Reply::Raw(TEXT, b"<html>garbage</html>".to_vec()),
        Reply::Raw(TEXT, vec![0xff; 100]),
        Reply::Raw(TEXT, Vec::new()),
        Reply::Truncated(breached.clone().into_bytes()),
        Reply::Silence,
        Reply::Drip(breached.into_bytes()),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let (app, service) = with(vec![reply]).await;
        register(&app, "ada@example.com", PASSWORD).await.assert(201);
        assert_eq!(service.requests().len(), 1, "reply {number}: it is tried once");
        assert_eq!(lookups(&app, "failed").await, "1", "reply {number}");
    }
    let app = App::with(&[("PASSWORD_BREACH_URL", "http://127.0.0.1:1")]);
    register(&app, "ada@example.com", PASSWORD).await.assert(201);
}

#[tokio::test]
async fn every_new_password_is_looked_up() {
    let (_, rest) = hash("a horse of another colour");
    let (app, service) = with(vec![list(&[OTHER])]).await;
    let (admin, user) = (app.admin().await, app.confirmed_user().await);
    let (prefix, _) = hash("a horse of another colour");
    let path: &'static str = Box::leak(format!("/range/{prefix}").into_boxed_str());
    service.say_at(path, list(&[&format!("{rest}:2")]));
    let breached = |mut body: Value| {
        body["new_password"] = "a horse of another colour".into();
        body
    };
    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": user.email})).await.assert(202);
    let token = app.mail_to(&user.email).await.token();
    let reset = breached(json!({"token": token}));
    let refused = app.anyone().post("/api/v1/auth/password/reset", &reset).await;
    refused.assert_invalid("/new_password", "common");

    user.post("/api/v1/auth/password/change", &json!({"current_password": PASSWORD})).await.assert(202);
    let code = app.mail_to(&user.email).await.code();
    let change = breached(json!({"code": code}));
    let refused = user.post("/api/v1/auth/password/change/confirm", &change).await;
    refused.assert_invalid("/new_password", "common");

    admin.post("/api/v1/users", &json!({"email": "grace@example.com"})).await.assert(201);
    let token = app.mail_to("grace@example.com").await.token();
    let accept = breached(json!({"token": token}));
    let refused = app.anyone().post("/api/v1/auth/invitation/accept", &accept).await;
    refused.assert_invalid("/new_password", "common");

    let strict = app.replica_with(&[("REQUIRE_CONFIRMATION", "on")]);
    strict
        .anyone()
        .post(REGISTER, &json!({"email": "eve@example.com", "password": PASSWORD}))
        .await
        .assert(202);
    let token = app.mail_to("eve@example.com").await.token();
    let confirm = json!({"token": token, "password": "a horse of another colour"});
    strict.anyone().post("/api/v1/auth/confirm", &confirm).await.assert_invalid("/password", "common");
    // A password from before is no reason to keep people out.
    app.login(&user.email).await;
}

/// A flood of new passwords must not become one on the service.
#[tokio::test]
async fn few_look_ups_run_at_a_time() {
    let (app, service) = with(vec![Reply::Silence]).await;
    let answers = (0..60).map(|n| {
        let (app, password) = (&app, format!("{n} horses of another colour"));
        async move { register(app, &format!("u{n}@example.com"), &password).await }
    });
    for answer in futures_util::future::join_all(answers).await {
        assert!([201, 503].contains(&answer.status.as_u16()), "{}", answer.status);
    }
    eventually("all look-ups", async || service.requests().len() >= 16).await;
    assert!(service.requests().len() <= 60);
}
