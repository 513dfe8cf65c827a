//! Changing the password of a user who is logged in.

use std::time::Duration;

use serde_json::json;

use crate::support::{App, Client, PASSWORD, ParsedMail, Response, eventually};

const CHANGE: &str = "/api/v1/auth/password/change";
const CONFIRM: &str = "/api/v1/auth/password/change/confirm";
const NEW: &str = "a horse of another colour";

async fn ask(app: &App, client: &Client) -> ParsedMail {
    client.post(CHANGE, &json!({"current_password": PASSWORD})).await.assert(202);
    app.mail_to(&client.email).await
}

async fn confirm(client: &Client, code: &str) -> Response {
    client.post(CONFIRM, &json!({"code": code, "new_password": NEW})).await
}

#[tokio::test]
async fn the_code_sets_the_password_ends_every_session_and_sends_a_notice() {
    let one = App::start();
    let two = one.replica();
    let ada = one.user().await;
    let phone = one.login(&ada.email).await.on(&two.base);
    phone.get("/api/v1/user").await.assert(200);

    let mail = ask(&one, &ada).await;
    assert!(!mail.text.contains("token="), "a code only: it needs a log-in as well");
    confirm(&ada, &mail.code()).await.assert(204);
    ada.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    eventually("refusal elsewhere", async || phone.get("/api/v1/user").await.status == 401).await;

    let login = |password| json!({"email": ada.email, "password": password});
    one.anyone().post("/api/v1/auth/login", &login(PASSWORD)).await.assert(401);
    one.anyone().post("/api/v1/auth/login", &login(NEW)).await.assert(200);
    assert_eq!(one.mail_to(&ada.email).await.subject, "Your password was changed");
}

#[tokio::test]
async fn without_the_current_password_there_is_no_code() {
    let app = App::start();
    let ada = app.user().await;
    let body = json!({"current_password": "a wrong password"});
    ada.post(CHANGE, &body).await.assert_problem(403, "wrong-password");
    assert_eq!(app.mails_to(&ada.email).await.len(), 0);
}

#[tokio::test]
async fn a_code_works_for_10_minutes_once_and_for_its_owner() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    let code = ask(&app, &ada).await.code();
    let of_bob = ask(&app, &bob).await.code();
    confirm(&bob, &code).await.assert_problem(422, "invalid-code");
    confirm(&bob, &of_bob).await.assert(204);

    app.clock.advance(Duration::from_mins(10));
    let mut ada = ada;
    ada.refresh().await.assert(200);
    confirm(&ada, &code).await.assert_problem(422, "invalid-code");
    let newer = ask(&app, &ada).await.code();
    confirm(&ada, &newer).await.assert(204);
    let mut again = app.anyone();
    let body = json!({"email": ada.email, "password": NEW});
    again.take(&again.post("/api/v1/auth/login", &body).await.assert(200).json());
    confirm(&again, &newer).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn the_sixth_try_is_refused_even_with_the_right_code() {
    let app = App::start();
    let ada = app.user().await;
    let code = ask(&app, &ada).await.code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        confirm(&ada, wrong).await.assert_problem(422, "invalid-code");
    }
    confirm(&ada, &code).await.assert_problem(422, "invalid-code");
    ada.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn a_code_requested_before_a_reset_is_invalid() {
    let app = App::start();
    let ada = app.user().await;
    let code = ask(&app, &ada).await.code();
    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": ada.email})).await.assert(202);
    let token = app.mail_to(&ada.email).await.token();
    let body = json!({"token": token, "new_password": PASSWORD});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
    let ada = app.login(&ada.email).await;
    confirm(&ada, &code).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn weak_passwords_are_refused_with_the_reason() {
    let app = App::start();
    let ada = app.user().await;
    let code = ask(&app, &ada).await.code();
    for (password, reason) in [("short", "too-short"), ("password123", "common"), (&ada.email, "personal")] {
        let body = json!({"code": code, "new_password": password});
        ada.post(CONFIRM, &body).await.assert_invalid("/new_password", reason);
    }
    confirm(&ada, &code).await.assert(204);
}
