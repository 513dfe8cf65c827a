//! Resetting a forgotten password.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    App, Client, PASSWORD, ParsedMail, Response, assert_waits_without_challenge, eventually,
};

const FORGOT: &str = "/api/v1/auth/password/forgot";
const RESET: &str = "/api/v1/auth/password/reset";
const NEW: &str = "a horse of another colour";

async fn forgot(app: &App, email: &str) -> ParsedMail {
    app.anyone().post(FORGOT, &json!({"email": email})).await.assert(202);
    app.mail_to(email).await
}

async fn reset(app: &App, mut proof: Value) -> Response {
    proof["new_password"] = NEW.into();
    app.anyone().post(RESET, &proof).await
}

async fn can_log_in(app: &App, client: &Client, password: &str) -> bool {
    let body = json!({"email": client.email, "password": password});
    app.anyone().post("/api/v1/auth/login", &body).await.status == 200
}

#[tokio::test]
async fn the_link_sets_a_new_password_ends_every_session_and_sends_a_notice() {
    let one = App::start();
    let two = one.replica();
    let mut ada = one.user().await;
    let elsewhere = ada.on(&two.base);
    elsewhere.get("/api/v1/user").await.assert(200);

    let mail = forgot(&one, &ada.email).await;
    assert!(mail.link().starts_with("http://mintage.test/reset-password#token="));
    let answer = reset(&one, json!({"token": mail.token()})).await.assert(204);
    assert!(answer.body.is_empty(), "it starts no session");

    ada.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    ada.refresh().await.assert_problem(401, "invalid-refresh-token");
    eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
    assert!(!can_log_in(&one, &ada, PASSWORD).await);
    assert!(can_log_in(&one, &ada, NEW).await);
    let notice = one.mail_to(&ada.email).await;
    assert_eq!(notice.subject, "Your password was changed");
    assert!(!notice.text.contains("token="));
}

#[tokio::test]
async fn the_code_works_too_and_either_works_once() {
    let app = App::start();
    let ada = app.user().await;
    let mail = forgot(&app, &ada.email).await;
    let by_code = json!({"email": ada.email.to_uppercase(), "code": mail.code()});
    reset(&app, by_code.clone()).await.assert(204);
    reset(&app, by_code).await.assert_problem(422, "invalid-code");
    reset(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn of_parallel_resets_with_one_link_exactly_one_succeeds() {
    let app = App::start();
    let ada = app.user().await;
    let token = forgot(&app, &ada.email).await.token();
    let clients: Vec<_> = (0..10).map(|_| app.anyone()).collect();
    let bodies: Vec<_> =
        (0..10).map(|n| json!({"token": token, "new_password": format!("{NEW} {n}")})).collect();
    let answers = clients.iter().zip(&bodies).map(|(client, body)| client.post(RESET, body));
    let statuses: Vec<_> = join_all(answers).await.iter().map(|answer| answer.status.as_u16()).collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(204), count(422)), (1, 9), "{statuses:?}");
}

#[tokio::test]
async fn the_answer_does_not_reveal_whether_there_is_an_account() {
    let app = App::start();
    let ada = app.user().await;
    let mut answers = Vec::new();
    for email in [ada.email.as_str(), "nobody@example.com"] {
        let answer = app.anyone().post(FORGOT, &json!({"email": email})).await.assert(202);
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        answers.push((names, answer.body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(app.mails_to("nobody@example.com").await.len(), 0);
    assert_eq!(app.mails_to(&ada.email).await.len(), 1);
}

#[tokio::test]
async fn a_link_works_for_30_minutes_and_a_code_for_10() {
    let app = App::start();
    let ada = app.user().await;
    let mail = forgot(&app, &ada.email).await;
    app.clock.advance(Duration::from_mins(11));
    let by_code = json!({"email": ada.email, "code": mail.code()});
    reset(&app, by_code).await.assert_problem(422, "invalid-code");
    app.clock.advance(Duration::from_mins(20));
    reset(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
    assert!(can_log_in(&app, &ada, PASSWORD).await);
}

#[tokio::test]
async fn a_weak_password_does_not_use_the_link_up() {
    let app = App::start();
    let ada = app.user().await;
    let token = forgot(&app, &ada.email).await.token();
    let weak = [
        ("short", "too-short"),
        ("password123", "common"),
        (&ada.email, "personal"),
        ("mintage2026", "context"),
    ];
    for (password, code) in weak {
        let body = json!({"token": token, "new_password": password});
        app.anyone().post(RESET, &body).await.assert_invalid("/new_password", code);
    }
    reset(&app, json!({"token": token})).await.assert(204);
    app.mail_to(&ada.email).await;

    let code = forgot(&app, &ada.email).await.code();
    for _ in 0..8 {
        let body = json!({"email": ada.email, "code": code, "new_password": ada.email});
        app.anyone().post(RESET, &body).await.assert_invalid("/new_password", "personal");
    }
    reset(&app, json!({"email": ada.email, "code": code})).await.assert(204);
}

#[tokio::test]
async fn proofs_of_another_account_or_purpose_are_refused() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    let of_bob = forgot(&app, &bob.email).await;
    reset(&app, json!({"email": ada.email, "code": of_bob.code()})).await.assert_problem(422, "invalid-code");

    app.anyone().post("/api/v1/auth/confirm/resend", &json!({"email": ada.email})).await.assert(202);
    let confirmation = app.mail_to(&ada.email).await;
    reset(&app, json!({"token": confirmation.token()})).await.assert_problem(422, "invalid-code");
    let by_code = json!({"email": ada.email, "code": confirmation.code()});
    reset(&app, by_code).await.assert_problem(422, "invalid-code");
    for path in
        ["/api/v1/auth/confirm", "/api/v1/auth/email/change/confirm", "/api/v1/auth/email/change/undo"]
    {
        let body = json!({"token": of_bob.token()});
        app.anyone().post(path, &body).await.assert_problem(422, "invalid-code");
    }
    reset(&app, json!({"token": of_bob.token()})).await.assert(204);
}

#[tokio::test]
async fn five_wrong_codes_leave_only_the_link() {
    let app = App::start();
    let ada = app.user().await;
    let mail = forgot(&app, &ada.email).await;
    let wrong = if mail.code() == "00000000" { "00000001" } else { "00000000" };
    let clients: Vec<_> = (0..20).map(|_| app.anyone()).collect();
    let body = json!({"email": ada.email, "code": wrong, "new_password": NEW});
    let answers = join_all(clients.iter().map(|client| client.post_until_served(RESET, &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 422));
    let right = json!({"email": ada.email, "code": mail.code()});
    reset(&app, right).await.assert_problem(422, "invalid-code");
    reset(&app, json!({"token": mail.token()})).await.assert(204);
}

#[tokio::test]
async fn a_reset_confirms_the_address_and_ends_what_was_pending() {
    let app = App::start();
    let ada = app.user().await;
    let body = json!({"new_email": "thief@example.com", "password": PASSWORD});
    ada.post("/api/v1/auth/email/change", &body).await.assert(202);
    let pending = app.mail_to("thief@example.com").await;
    let mail = forgot(&app, &ada.email).await;
    reset(&app, json!({"token": mail.token()})).await.assert(204);
    let body = json!({"token": pending.token()});
    let path = "/api/v1/auth/email/change/confirm";
    app.anyone().post(path, &body).await.assert_problem(422, "invalid-code");

    let mut client = app.anyone();
    let body = json!({"email": ada.email, "password": NEW});
    client.take(&client.post("/api/v1/auth/login", &body).await.assert(200).json());
    assert_eq!(client.get("/api/v1/user").await.json()["email_confirmed"], true);
}

#[tokio::test]
async fn a_link_to_a_deleted_account_is_refused() {
    let app = App::start();
    let ada = app.user().await;
    let mail = forgot(&app, &ada.email).await;
    let delete = |request: reqwest::RequestBuilder| request.json(&json!({"password": PASSWORD}));
    ada.send(reqwest::Method::DELETE, "/api/v1/user", delete).await.assert(204);
    reset(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
    app.register(&ada.email).await;
    reset(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
    assert!(can_log_in(&app, &ada, PASSWORD).await);
}

#[tokio::test]
async fn mails_to_one_address_are_limited_whether_or_not_it_has_an_account() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let ada = app.user().await;
    for email in [ada.email.as_str(), "nobody@example.com"] {
        for _ in 0..4 {
            app.anyone().post(FORGOT, &json!({"email": email})).await.assert(202);
        }
        let answer = app.anyone().post(FORGOT, &json!({"email": email.to_uppercase()})).await;
        answer.assert_problem(429, "too-many-requests").header("retry-after");
    }
}

/// Otherwise the mail and a reset, which locks the account first, would deadlock.
#[tokio::test]
async fn a_mail_that_waits_for_the_account_holds_no_challenge() {
    let app = App::start();
    let ada = app.user().await;
    forgot(&app, &ada.email).await;
    app.idle().await;
    let (anyone, email) = (app.anyone(), json!({"email": ada.email}));
    assert_waits_without_challenge(&app, "users", anyone.post(FORGOT, &email)).await;
}
