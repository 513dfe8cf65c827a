//! The audit trail and `mintage audit verify`.

use std::time::Duration;

use diesel::{RunQueryDsl, sql_query};
use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD, eventually};

const AUDIT: &str = "/api/v1/admin/audit";

async fn events(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.assert(200).json()["data"].as_array().unwrap().clone()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

/// Waits until all events are in the chain.
async fn sealed(app: &App) {
    eventually("all events are sealed", async || {
        app.count("SELECT count(*) FROM security_events WHERE seq IS NULL") == 0
    })
    .await;
}

#[tokio::test]
async fn log_ins_and_failures_are_recorded_with_their_client() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    let wrong = json!({"email": user.email, "password": "wrong"});
    app.anyone().post("/api/v1/auth/login", &wrong).await.assert(401);
    let unknown = json!({"email": "nobody@example.com", "password": "wrong"});
    app.anyone().post("/api/v1/auth/login", &unknown).await.assert(401);

    let all = events(&admin, AUDIT).await;
    assert_eq!(kinds(&all)[..3], ["login-failed", "login-failed", "logged-in"]);
    assert_eq!(all[0]["user_id"], Value::Null, "no account has the address");
    assert_eq!((&all[1]["user_id"], &all[1]["actor"]), (&user.id.clone().into(), &"anonymous".into()));
    assert_eq!(all[2]["address"], "127.0.0.1");
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains('@') && !text.contains("wrong"), "neither addresses nor passwords: {text}");

    let about_user = events(&admin, &format!("{AUDIT}?user_id={}&kind=logged-in", user.id)).await;
    assert_eq!(about_user.len(), 1);
    let mine = events(&user, "/api/v1/user/events").await;
    assert_eq!(kinds(&mine), ["login-failed", "logged-in", "registered"]);
}

#[tokio::test]
async fn what_an_admin_does_is_shown_to_the_user_without_the_admins_place() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    let path = format!("/api/v1/users/{}", user.id);
    admin.patch(&path, &json!({"role": "admin"})).await.assert(200);
    let user = app.login(&user.email).await;
    let mine = events(&user, "/api/v1/user/events").await;
    let change = mine.iter().find(|event| event["kind"] == "role-changed").unwrap();
    assert_eq!((&change["actor"], &change["details"]["role"]), (&"admin".into(), &"admin".into()));
    assert_eq!(
        (&change["address"], &change["user_agent"], &change["session_id"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let by_admin = events(&user, &format!("{AUDIT}?actor_id={}&kind=role-changed", admin.id)).await;
    assert_eq!(by_admin[0]["address"], "127.0.0.1");
}

#[tokio::test]
async fn the_trail_is_read_in_pages_and_as_lines() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    for _ in 0..7 {
        app.login(&user.email).await;
    }
    let (mut path, mut seen) = (format!("{AUDIT}?limit=3&user_id={}", user.id), Vec::new());
    let mut pages = 0;
    loop {
        let page = admin.get(&path).await.assert(200).json();
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{AUDIT}?limit=3&user_id={}&cursor={cursor}", user.id);
    }
    assert_eq!((pages, seen.len()), (3, 9), "a registration and eight log-ins");
    assert!(seen.is_sorted_by(|a, b| a > b), "the newest first");
    let lines = admin.get(&format!("{AUDIT}.ndjson?user_id={}", user.id)).await.assert(200);
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), seen);
    assert_eq!(kinds(&events(&admin, &format!("{AUDIT}?limit=1")).await), ["events-exported"]);
    let now = app.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert!(events(&admin, &format!("{AUDIT}?after={now}")).await.is_empty());
    assert!(events(&admin, &format!("{AUDIT}?before={now}&limit=1")).await.len() == 1);
}

#[tokio::test]
async fn only_what_changes_an_account_is_recorded() {
    let app = App::start();
    let user = app.user().await;
    let version =
        user.patch("/api/v1/user", &json!({"name": "Ada"})).await.assert(200).header("etag").to_owned();
    for same in [json!({}), json!({"name": "Ada"}), json!({"name": " Ada "}), json!({"username": null})] {
        let response = user.patch("/api/v1/user", &same).await.assert(200);
        assert_eq!(response.header("etag"), version);
    }
    let mine = events(&user, "/api/v1/user/events").await;
    assert_eq!(kinds(&mine), ["profile-changed", "logged-in", "registered"]);
}

#[tokio::test]
async fn changes_of_the_profile_have_a_limit() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_CHANGES", "2/1h")]);
    let user = app.user().await;
    for name in ["Ada", "Grace"] {
        user.patch("/api/v1/user", &json!({"name": name})).await.assert(200);
    }
    let refused = user.patch("/api/v1/user", &json!({"name": "Ada"})).await;
    refused.assert_problem(429, "too-many-requests").header("retry-after");
    let key = json!({"name": "bot", "scopes": ["coins:read"]});
    user.post("/api/v1/user/api-keys", &key).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn an_account_with_very_many_events_is_erased_in_parts_and_holds_up_no_other() {
    let app = App::with(&[("ACCOUNT_DELETION_GRACE", "0s")]);
    let users = [app.user().await, app.user().await];
    let many = format!(
        "INSERT INTO security_events (id, at, kind, actor, user_id, address, salt) SELECT gen_random_uuid(), now(), \
         'login-failed', 'anonymous', '{}', '192.0.2.1', '\\x00' FROM generate_series(1, 3500)",
        users[0].id
    );
    sql_query(many).execute(&mut app.sql()).unwrap();
    sealed(&app).await;
    for user in &users {
        let body = json!({"password": PASSWORD});
        let delete = |request: reqwest::RequestBuilder| request.json(&body);
        user.send(reqwest::Method::DELETE, "/api/v1/user", delete).await.assert(204);
    }
    app.clock.advance(Duration::from_hours(2));
    let purged = "SELECT count(*) FROM security_events WHERE kind = 'user-purged' AND erased_at IS NOT NULL";
    eventually("both are erased", async || app.count(purged) == 2).await;
    let left = "SELECT count(*) FROM security_events WHERE erased_at IS NULL AND seq IS NOT NULL";
    assert_eq!(app.count(left), 0);
}

#[tokio::test]
async fn the_trail_cannot_be_changed_in_the_database() {
    let app = App::start();
    app.user().await;
    sealed(&app).await;
    for statement in [
        "UPDATE security_events SET kind = 'logged-out'",
        "UPDATE security_events SET address = NULL",
        "UPDATE security_events SET seq = seq + 1",
        "DELETE FROM security_events",
        "TRUNCATE security_events",
    ] {
        let refused = sql_query(statement).execute(&mut app.sql()).expect_err(statement);
        assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
    }
}
