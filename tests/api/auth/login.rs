//! Logging in.

use std::time::{Duration, Instant};

use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query};
use reqwest::Method;
use serde_json::json;

use crate::support::{App, PASSWORD};

const PATH: &str = "/api/v1/auth/login";

#[tokio::test]
async fn the_right_password_gets_a_pair_of_tokens() {
    let app = App::start();
    app.register("ada@example.com").await;
    let body = json!({"email": "ADA@example.com", "password": PASSWORD});
    let response = app.anyone().post(PATH, &body).await.assert(200);
    assert_eq!(response.header("cache-control"), "no-store");
    let pair = response.json();
    assert_eq!(pair["token_type"], "Bearer");
    assert_eq!(pair["expires_in"], 600);
    assert_eq!(pair["refresh_expires_in"], 12 * 3600);
}

/// Earlier versions accepted such addresses.
#[tokio::test]
async fn an_account_with_an_address_that_is_no_longer_accepted_can_log_in() {
    let app = App::start();
    let user = app.user().await;
    let odd = "ada@10.0.0.5";
    let update =
        format!("UPDATE users SET email = '{odd}', email_canonical = '{odd}' WHERE id = '{}'", user.id);
    diesel::RunQueryDsl::execute(diesel::sql_query(update), &mut app.sql()).unwrap();
    app.login(odd).await;
    let body = json!({"email": odd, "password": PASSWORD});
    app.anyone().post("/api/v1/auth/register", &body).await.assert_invalid("/email", "email");
}

#[tokio::test]
async fn remember_keeps_the_session_for_longer() {
    let app = App::start();
    app.register("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "remember": true});
    let pair = app.anyone().post(PATH, &body).await.assert(200).json();
    assert_eq!(pair["refresh_expires_in"], 14 * 24 * 3600);
}

#[tokio::test]
async fn a_username_works_in_any_case() {
    let app = App::start();
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "username": "ada"});
    app.anyone().post("/api/v1/auth/register", &body).await.assert(201);
    let body = json!({"username": "ADA", "password": PASSWORD});
    app.anyone().post(PATH, &body).await.assert(200);
}

#[tokio::test]
async fn an_unknown_account_is_answered_like_a_wrong_password() {
    let app = App::start();
    app.register("ada@example.com").await;
    let mut answers = Vec::new();
    for body in [
        json!({"email": "ada@example.com", "password": "a wrong password"}),
        json!({"email": "bob@example.com", "password": "a wrong password"}),
        json!({"email": "not an address", "password": "a wrong password"}),
        json!({"username": "nobody", "password": "a wrong password"}),
    ] {
        let answer = app.anyone().post(PATH, &body).await.assert_problem(401, "invalid-credentials");
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="mintage""#);
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("request_id");
        let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        answers.push((body, names));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn either_email_or_username_is_needed() {
    let app = App::start();
    for body in [
        json!({"password": PASSWORD}),
        json!({"email": "ada@example.com", "username": "ada", "password": PASSWORD}),
    ] {
        app.anyone().post(PATH, &body).await.assert_invalid("/email", "email-or-username");
    }
}

#[tokio::test]
async fn a_hash_of_another_cost_is_replaced_on_login() {
    let app = App::start();
    app.register("ada@example.com").await;
    let hash = mintage::passwords::Hasher::hash_now(PASSWORD, 5).unwrap();
    sql_query("UPDATE users SET password_hash = $1")
        .bind::<diesel::sql_types::Text, _>(hash)
        .execute(&mut app.sql())
        .unwrap();
    app.login("ada@example.com").await;
    let replaced = sql_query("UPDATE users SET name = 'x' WHERE password_hash LIKE '$2b$04$%'");
    assert_eq!(replaced.execute(&mut app.sql()).unwrap(), 1);
    app.login("ada@example.com").await;
}

#[tokio::test]
async fn a_user_has_at_most_100_sessions_and_the_oldest_ends() {
    let app = App::start();
    app.register("ada@example.com").await;
    let first = app.login("ada@example.com").await;
    let mut last = first.clone();
    for _ in 0..100 {
        app.clock.advance(std::time::Duration::from_secs(1));
        last = app.login("ada@example.com").await;
    }
    first.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    let sessions = last.get("/api/v1/auth/sessions").await.assert(200).json();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn a_long_user_agent_is_truncated() {
    let app = App::start();
    app.register("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let agent = "x".repeat(3000);
    let request = |request: reqwest::RequestBuilder| request.header("user-agent", &agent).json(&body);
    let pair = app.anyone().send(Method::POST, PATH, request).await.assert(200).json();
    let client = app.anyone().bearing(pair["access_token"].as_str().unwrap());
    let sessions = client.get("/api/v1/auth/sessions").await.assert(200).json();
    assert_eq!(sessions["data"][0]["user_agent"].as_str().unwrap().len(), 256);
}

/// Hashing takes a while: a password that is changed meanwhile must not get a session.
#[tokio::test]
async fn a_login_under_way_does_not_survive_a_change_of_the_password() {
    // One account holds a quarter of the slots.
    let app = App::with(&[("DATABASE_POOL_SIZE", "12")]);
    let user = app.user().await;
    let mut owner = app.sql();
    let hash = mintage::passwords::Hasher::hash_now("the owner's new password", 4).unwrap();
    owner.batch_execute(&format!("BEGIN; UPDATE users SET password_hash = '{hash}'")).unwrap();
    let body = json!({"email": user.email, "password": PASSWORD});
    let new_email = json!({"new_email": "thief@example.com", "password": PASSWORD});
    let delete = |request: reqwest::RequestBuilder| request.json(&json!({"password": PASSWORD}));
    let anyone = app.anyone();
    // Waiting for the row is a 503 after 400 ms: then all three requests are repeated.
    let (login, email, deletion) = loop {
        let (login, email, deletion, changed) = tokio::join!(
            anyone.post(PATH, &body),
            user.post("/api/v1/auth/email/change", &new_email),
            user.send(Method::DELETE, "/api/v1/user", delete),
            async {
                let give_up_at = Instant::now() + Duration::from_secs(1);
                while app.database().waiting_for_locks() < 3 {
                    if Instant::now() > give_up_at {
                        return false;
                    }
                    // Looks often: the requests wait for 400 ms only.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                owner.batch_execute("COMMIT").unwrap();
                true
            }
        );
        if changed {
            break (login, email, deletion);
        }
        for refused in [login, email, deletion] {
            refused.assert_problem(503, "unavailable");
        }
    };
    login.assert_problem(503, "unavailable");
    email.assert_problem(401, "token-revoked");
    deletion.assert_problem(401, "token-revoked");
    anyone.post(PATH, &body).await.assert_problem(401, "invalid-credentials");
    assert_eq!(app.mails_to("thief@example.com").await.len(), 0);
}
