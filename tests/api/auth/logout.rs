//! Logging out.

use std::time::Duration;

use serde_json::json;

use crate::support::App;

const PATH: &str = "/api/v1/auth/logout";

#[tokio::test]
async fn after_a_logout_the_next_request_is_refused() {
    let app = App::start();
    let mut client = app.user().await;
    client.get("/api/v1/coins").await.assert(200);
    client.post_empty(PATH).await.assert(204);
    let refused = client.get("/api/v1/coins").await.assert_problem(401, "token-revoked");
    assert_eq!(refused.header("www-authenticate"), r#"Bearer realm="mintage", error="invalid_token""#);
    client.refresh().await.assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn logging_out_again_is_fine_also_with_an_expired_token() {
    let app = App::start();
    let client = app.user().await;
    client.post_empty(PATH).await.assert(204);
    client.post(PATH, &json!({"scope": "all"})).await.assert(204);
    app.clock.advance(Duration::from_hours(24));
    client.post_empty(PATH).await.assert(204);
}

#[tokio::test]
async fn an_expired_token_still_ends_its_session() {
    let app = App::start();
    let mut client = app.user().await;
    app.clock.advance(Duration::from_hours(1));
    client.get("/api/v1/user").await.assert_problem(401, "token-expired");
    client.post_empty(PATH).await.assert(204);
    client.refresh().await.assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn an_expired_token_ends_no_other_session() {
    let app = App::start();
    let phone = app.user().await;
    app.clock.advance(Duration::from_mins(11));
    let laptop = app.login(&phone.email).await;
    for scope in ["others", "all"] {
        let refused = phone.post(PATH, &json!({"scope": scope})).await.assert_problem(401, "token-expired");
        assert!(refused.header("www-authenticate").contains("invalid_token"));
    }
    laptop.get("/api/v1/user").await.assert(200);
    let mut phone = phone;
    phone.refresh().await.assert(200);
    phone.post(PATH, &json!({"scope": "others"})).await.assert(204);
    laptop.get("/api/v1/user").await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn an_expired_token_of_an_ended_session_is_refused_too() {
    let app = App::start();
    let client = app.user().await;
    client.post_empty(PATH).await.assert(204);
    app.clock.advance(Duration::from_mins(11));
    client.post(PATH, &json!({"scope": "all"})).await.assert_problem(401, "token-expired");
    client.post(PATH, &json!({"scope": "this"})).await.assert(204);
}

#[tokio::test]
async fn scope_selects_the_sessions_that_end() {
    let app = App::start();
    let phone = app.user().await;
    let laptop = app.login(&phone.email).await;
    let tablet = app.login(&phone.email).await;

    phone.post(PATH, &json!({"scope": "this"})).await.assert(204);
    phone.get("/api/v1/user").await.assert(401);
    laptop.get("/api/v1/user").await.assert(200);

    laptop.post(PATH, &json!({"scope": "others"})).await.assert(204);
    tablet.get("/api/v1/user").await.assert(401);
    laptop.get("/api/v1/user").await.assert(200);

    let desk = app.login(&phone.email).await;
    laptop.post(PATH, &json!({"scope": "all"})).await.assert(204);
    desk.get("/api/v1/user").await.assert(401);
    laptop.get("/api/v1/user").await.assert(401);
}

#[tokio::test]
async fn a_token_of_an_ended_session_cannot_end_other_sessions() {
    let app = App::start();
    let found = app.user().await;
    let other = app.login(&found.email).await;
    found.post_empty(PATH).await.assert(204);
    found.post(PATH, &json!({"scope": "all"})).await.assert(204);
    other.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn logging_out_leaves_other_users_logged_in() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    ada.post(PATH, &json!({"scope": "all"})).await.assert(204);
    bob.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let app = App::start();
    let client = app.user().await;
    client.post(PATH, &json!({"scope": "everything"})).await.assert_invalid("/scope", "type");
    client.post(PATH, &json!({"scop": "all"})).await.assert_invalid("/scop", "unknown-field");
    client.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn a_chunked_body_is_read() {
    let app = App::start();
    let phone = app.user().await;
    let laptop = app.login(&phone.email).await;
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(r#"{"scope":"#), Ok(r#""all"}"#)]);
    let body = reqwest::Body::wrap_stream(chunks);
    let build =
        |request: reqwest::RequestBuilder| request.header("content-type", "application/json").body(body);
    phone.send(reqwest::Method::POST, PATH, build).await.assert(204);
    laptop.get("/api/v1/user").await.assert_problem(401, "token-revoked");
}
