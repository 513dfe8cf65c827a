//! Registration.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{App, PASSWORD};

const PATH: &str = "/api/v1/auth/register";

#[tokio::test]
async fn a_new_account_is_returned_with_its_location() {
    let app = App::start();
    let body = json!({"email": " Ada@Example.com", "password": PASSWORD, "name": "Ada", "username": "Ada"});
    let response = app.anyone().post(PATH, &body).await.assert(201);
    let user = response.json();
    assert_eq!(user["email"], "Ada@Example.com");
    assert_eq!(
        (&user["name"], &user["username"], &user["role"]),
        (&json!("Ada"), &json!("Ada"), &json!("user"))
    );
    let id = user["id"].as_str().unwrap();
    assert_eq!(response.header("location"), format!("http://mintage.test/api/v1/users/{id}"));
    let text = response.text();
    assert!(!text.contains("password") && !text.contains("$2b$"));
}

#[tokio::test]
async fn one_address_in_any_spelling_is_one_account() {
    let app = App::start();
    app.register("ada@example.com").await;
    for email in ["ada@example.com", "ADA@Example.COM", " ada@example.com ", "ａda@example.com"] {
        let body = json!({"email": email, "password": PASSWORD});
        app.anyone().post(PATH, &body).await.assert_problem(409, "email-taken");
    }
}

#[tokio::test]
async fn one_username_in_any_case_is_one_account() {
    let app = App::start();
    let body = |email, username| json!({"email": email, "password": PASSWORD, "username": username});
    app.anyone().post(PATH, &body("a@example.com", "ada")).await.assert(201);
    app.anyone().post(PATH, &body("b@example.com", "ADA")).await.assert_problem(409, "username-taken");
}

#[tokio::test]
async fn of_50_parallel_registrations_of_one_address_exactly_one_succeeds() {
    let app = App::start();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let clients: Vec<_> = (0..50).map(|_| app.anyone()).collect();
    let answers = join_all(clients.iter().map(|client| client.post(PATH, &body))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (1, 49));
}

#[tokio::test]
async fn bad_fields_are_named_all_at_once() {
    let app = App::start();
    let body = json!({"email": "nonsense", "password": "short", "name": " ", "username": "a b"});
    let response = app.anyone().post(PATH, &body).await;
    let response = response.assert_invalid("/email", "email").assert_invalid("/password", "too-short");
    response.assert_invalid("/name", "length").assert_invalid("/username", "username");
}

#[tokio::test]
async fn reserved_usernames_and_invisible_names_are_refused() {
    for app in [App::start(), App::with(&[("REQUIRE_CONFIRMATION", "on")])] {
        let body = |username, name| json!({"email": "ada@example.com", "password": PASSWORD, "username": username, "name": name});
        for username in ["root", "ADMINISTRATOR", "web-master", "no_reply"] {
            let answer = app.anyone().post(PATH, &body(username, "Ada")).await;
            answer.assert_invalid("/username", "reserved");
        }
        let answer = app.anyone().post(PATH, &body("ada", "\u{200f}\u{e0020}")).await;
        answer.assert_invalid("/name", "control-character");
    }
}

/// Some mail servers decode an encoded word (RFC 2047): the mail would go to another address.
#[tokio::test]
async fn an_address_with_an_encoded_word_is_refused() {
    let app = App::start();
    let client = app.user().await;
    let email = "=?utf-8?q?root=40corp.example?=@example.com";
    let body = json!({"email": email, "password": PASSWORD});
    app.anyone().post(PATH, &body).await.assert_invalid("/email", "email");
    let body = json!({"new_email": email, "password": PASSWORD});
    client.post("/api/v1/auth/email/change", &body).await.assert_invalid("/new_email", "email");
    // An existing account with such an address can still log in.
    let body = json!({"email": email, "password": PASSWORD});
    app.anyone().post("/api/v1/auth/login", &body).await.assert_problem(401, "invalid-credentials");
}

#[tokio::test]
async fn weak_passwords_are_refused_with_the_reason() {
    let app = App::start();
    let too_long = "x1".repeat(129);
    for (password, code) in [
        ("1234567", "too-short"),
        (too_long.as_str(), "too-long"),
        ("password123", "common"),
        ("ada.lovelace", "personal"),
        ("ada.lovelace2026", "personal"),
        ("Mintage2026", "context"),
        ("mintage.test", "context"),
        ("a\0bcdefgh", "control-character"),
    ] {
        let body = json!({"email": "ada.lovelace@example.com", "password": password});
        app.anyone().post(PATH, &body).await.assert_invalid("/password", code);
    }
}

#[tokio::test]
async fn a_password_of_64_emoji_works_and_every_one_of_them_counts() {
    let app = App::start();
    let password = "🦀🐙🦊🐝".repeat(16);
    let body = json!({"email": "ada@example.com", "password": password});
    app.anyone().post(PATH, &body).await.assert(201);
    app.anyone().post("/api/v1/auth/login", &body).await.assert(200);
    let shorter: String = password.chars().take(63).collect();
    let body = json!({"email": "ada@example.com", "password": shorter});
    app.anyone().post("/api/v1/auth/login", &body).await.assert_problem(401, "invalid-credentials");
}

#[tokio::test]
async fn registration_cannot_make_an_admin() {
    let app = App::start();
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "role": "admin"});
    app.anyone().post(PATH, &body).await.assert_invalid("/role", "unknown-field");
}
