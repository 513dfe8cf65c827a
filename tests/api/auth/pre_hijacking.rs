//! Pre-hijacking: a stranger registers the address of another person, who then confirms it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::api_keys::with_key;
use crate::support::{App, Client, PASSWORD, ParsedMail, Response, eventually};

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const CONFIRM: &str = "/api/v1/auth/confirm";
const RESEND: &str = "/api/v1/auth/confirm/resend";
const ADA: &str = "ada@example.com";
const OWN: &str = "a horse of another colour";

fn strict() -> App {
    App::with(&[("REQUIRE_CONFIRMATION", "on")])
}

async fn register(app: &App, email: &str, password: &str, name: &str) -> ParsedMail {
    let body = json!({"email": email, "password": password, "name": name, "username": name});
    app.anyone().post(REGISTER, &body).await.assert(202);
    app.mail_to(email).await
}

async fn confirm(app: &App, proof: &Value) -> Response {
    app.anyone().post(CONFIRM, proof).await
}

async fn login(app: &App, email: &str, password: &str) -> Response {
    app.anyone().post(LOGIN, &json!({"email": email, "password": password})).await
}

/// Name and username of the account, read after a log-in with this password.
async fn names(app: &App, email: &str, password: &str) -> [Value; 2] {
    let mut client = app.anyone();
    client.take(&login(app, email, password).await.assert(200).json());
    let user = client.get("/api/v1/user").await.assert(200).json();
    assert_eq!(user["email_confirmed"], true);
    [user["name"].clone(), user["username"].clone()]
}

/// An account that is usable without confirmation, and the mail that asks to confirm its address.
async fn unconfirmed(app: &App) -> (Client, ParsedMail) {
    let client = app.user().await;
    client.patch("/api/v1/user", &json!({"name": "Eve", "username": "eve"})).await.assert(200);
    app.anyone().post(RESEND, &json!({"email": client.email})).await.assert(202);
    let mail = app.mail_to(&client.email).await;
    (client, mail)
}

#[tokio::test]
async fn confirming_a_strangers_registration_creates_an_account_without_its_password_and_names() {
    let app = strict();
    for by_code in [false, true] {
        let email = format!("ada{by_code}@example.com");
        let mail = register(&app, &email, "the stranger's password", "eve").await;
        let with_code = by_code.then(|| json!({"email": email, "code": mail.code()}));
        let mut proof = with_code.unwrap_or_else(|| json!({"token": mail.token()}));
        proof["password"] = OWN.into();
        let answer = confirm(&app, &proof).await.assert(200);
        assert_eq!(answer.json(), json!({"email": email}));
        login(&app, &email, "the stranger's password").await.assert_problem(401, "invalid-credentials");
        assert_eq!(names(&app, &email, OWN).await, [Value::Null, Value::Null]);
    }
}

/// Whichever mail is opened, the password selects the registration.
#[tokio::test]
async fn of_several_registrations_the_one_with_the_repeated_password_counts() {
    let app = strict();
    for opened in 0..3 {
        let email = format!("ada{opened}@example.com");
        let mut mails = Vec::new();
        for (password, name) in
            [("the stranger's password", "eve"), (PASSWORD, "ada"), ("another one of his", "eve")]
        {
            mails.push(register(&app, &email, password, &format!("{name}{opened}")).await);
        }
        let proof = json!({"token": mails[opened].token(), "password": PASSWORD});
        confirm(&app, &proof).await.assert(200);
        let name = json!(format!("ada{opened}"));
        assert_eq!(names(&app, &email, PASSWORD).await, [name.clone(), name]);
        for password in ["the stranger's password", "another one of his"] {
            login(&app, &email, password).await.assert_problem(401, "invalid-credentials");
        }
        for (number, mail) in mails.iter().enumerate() {
            let status = if number == opened { 200 } else { 422 };
            confirm(&app, &json!({"token": mail.token(), "password": "the stranger's password"}))
                .await
                .assert(status);
        }
        assert!(app.mails_to(&email).await.is_empty());
    }
}

#[tokio::test]
async fn of_several_registrations_with_the_same_password_the_opened_one_names_the_account() {
    let app = strict();
    let first = register(&app, ADA, PASSWORD, "countess").await;
    register(&app, ADA, PASSWORD, "lovelace").await;
    confirm(&app, &json!({"token": first.token(), "password": PASSWORD})).await.assert(200);
    assert_eq!(names(&app, ADA, PASSWORD).await, [json!("countess"), json!("countess")]);
}

#[tokio::test]
async fn a_missing_or_weak_password_is_reported_and_the_link_stays_valid() {
    let app = strict();
    let mail = register(&app, ADA, PASSWORD, "ada").await;
    let by_token = json!({"token": mail.token()});
    let by_code = json!({"email": ADA, "code": mail.code()});
    for proof in [&by_token, &by_code] {
        for _ in 0..6 {
            confirm(&app, proof).await.assert_invalid("/password", "required");
        }
        for (password, code) in [
            ("short", "too-short"),
            ("password123", "common"),
            ("ada@example.com", "personal"),
            ("Mintage2026", "context"),
            (&"x1".repeat(600), "length"),
        ] {
            let mut weak = proof.clone();
            weak["password"] = password.into();
            confirm(&app, &weak).await.assert_invalid("/password", code);
        }
    }
    // Other errors come first, so that they reveal nothing about the address.
    confirm(&app, &json!({"token": "x"})).await.assert_problem(422, "invalid-code");
    let wrong = if mail.code() == "00000000" { "00000001" } else { "00000000" };
    for email in [ADA, "nobody@example.com"] {
        let wrong = json!({"email": email, "code": wrong});
        confirm(&app, &wrong).await.assert_problem(422, "invalid-code");
    }
    let mut right = by_code.clone();
    right["password"] = PASSWORD.into();
    confirm(&app, &right).await.assert(200);
    // A repetition needs no password, and with another one changes nothing.
    for proof in [&by_token, &by_code, &json!({"token": mail.token(), "password": OWN})] {
        confirm(&app, proof).await.assert(200);
    }
    login(&app, ADA, OWN).await.assert_problem(401, "invalid-credentials");
    assert_eq!(names(&app, ADA, PASSWORD).await, [json!("ada"), json!("ada")]);
}

#[tokio::test]
async fn the_owner_of_an_address_takes_over_an_unconfirmed_account_of_a_stranger() {
    let one = App::start();
    let two = one.replica();
    let (mut stranger, mail) = unconfirmed(&one).await;
    let elsewhere = stranger.on(&two.base);
    elsewhere.get("/api/v1/user").await.assert(200);
    let change = json!({"new_email": "stranger@example.com", "password": PASSWORD});
    stranger.post("/api/v1/auth/email/change", &change).await.assert(202);
    let pending = one.mail_to("stranger@example.com").await;

    let weak = json!({"token": mail.token(), "password": "password123"});
    confirm(&one, &weak).await.assert_invalid("/password", "common");
    stranger.get("/api/v1/user").await.assert(200);

    confirm(&one, &json!({"token": mail.token(), "password": OWN})).await.assert(200);
    stranger.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    stranger.refresh().await.assert_problem(401, "invalid-refresh-token");
    eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
    let token = json!({"token": pending.token()});
    one.anyone().post("/api/v1/auth/email/change/confirm", &token).await.assert_problem(422, "invalid-code");
    for body in [
        json!({"email": stranger.email, "password": PASSWORD}),
        json!({"username": "eve", "password": PASSWORD}),
        json!({"username": "eve", "password": OWN}),
    ] {
        one.anyone().post(LOGIN, &body).await.assert_problem(401, "invalid-credentials");
    }
    assert_eq!(names(&one, &stranger.email, OWN).await, [Value::Null, Value::Null]);
    assert_eq!(one.mail_to(&stranger.email).await.subject, "Your password was changed");
    confirm(&one, &json!({"token": mail.token()})).await.assert(200);
}

#[tokio::test]
async fn a_take_over_revokes_the_api_keys_of_the_stranger_and_a_confirmation_keeps_ones_own() {
    let one = App::start();
    let two = one.replica();
    for password in [PASSWORD, OWN] {
        let client = one.user().await;
        one.anyone().post(RESEND, &json!({"email": client.email})).await.assert(202);
        let mail = one.mail_to(&client.email).await;
        let key = with_key(&client, &["coins:read", "profile:read"]).await;
        let elsewhere = key.on(&two.base);
        key.get("/api/v1/user").await.assert(200);
        elsewhere.get("/api/v1/user").await.assert(200);
        let revoked = format!(
            "SELECT count(*) FROM security_events WHERE kind = 'api-key-revoked' AND user_id = '{}'",
            client.id
        );
        confirm(&one, &json!({"token": mail.token(), "password": password})).await.assert(200);
        if password == PASSWORD {
            key.get("/api/v1/user").await.assert(200);
            elsewhere.get("/api/v1/user").await.assert(200);
            assert_eq!(one.count(&revoked), 0);
        } else {
            key.get("/api/v1/user").await.assert_problem(401, "invalid-api-key");
            eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
            assert_eq!(one.count(&revoked), 1);
        }
    }
}

#[tokio::test]
async fn with_its_password_an_account_is_confirmed_and_keeps_its_sessions_and_names() {
    let app = App::start();
    let (client, mail) = unconfirmed(&app).await;
    confirm(&app, &json!({"token": mail.token()})).await.assert_invalid("/password", "required");
    confirm(&app, &json!({"token": mail.token(), "password": PASSWORD})).await.assert(200);
    let user = client.get("/api/v1/user").await.assert(200).json();
    assert_eq!(user["email_confirmed"], true);
    assert_eq!(names(&app, &client.email, PASSWORD).await, [json!("Eve"), json!("eve")]);
    assert!(app.mails_to(&client.email).await.is_empty());
}

#[tokio::test]
async fn of_many_take_overs_at_once_one_sets_its_password() {
    let app = App::start();
    let (stranger, mail) = unconfirmed(&app).await;
    let clients: Vec<_> = (0..8).map(|_| app.anyone()).collect();
    let passwords: Vec<_> = (0..8).map(|n| format!("{OWN} {n}")).collect();
    let proofs: Vec<_> =
        passwords.iter().map(|password| json!({"token": mail.token(), "password": password})).collect();
    let answers = join_all(clients.iter().zip(&proofs).map(|(client, proof)| client.post(CONFIRM, proof)));
    assert!(answers.await.iter().all(|answer| answer.status == 200), "the same answer to all");
    let mut right = 0;
    for password in &passwords {
        right += usize::from(login(&app, &stranger.email, password).await.status == 200);
    }
    assert_eq!(right, 1);
    assert_eq!(app.mails_to(&stranger.email).await.len(), 1, "the notice is mailed once");
    assert_eq!(app.count("SELECT count(*) FROM users"), 1);
}

#[tokio::test]
async fn the_mails_explain_what_the_button_does() {
    let app = strict();
    let mail = register(&app, ADA, PASSWORD, "mallory").await;
    let text = mail.text.replace('\n', " ");
    let asked = app.clock.now().format("Requested: %-d %B %Y").to_string();
    for part in [
        asked.as_str(),
        "Didn't sign up at that time? You can ignore this email.",
        "repeat the one you signed up with",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert!(!text.contains("mallory"), "a stranger must not write to anyone in our name");
    let page = app.anyone().get("/confirm").await.assert(200).text();
    assert!(page.contains("Repeat the password you registered with, or choose another one"), "{page}");
    let page = app.anyone().get("/confirm-email-change").await.assert(200).text();
    assert!(page.contains("may be able to take the account back for 7 days"), "{page}");
}
