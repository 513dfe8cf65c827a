//! `/api/v1/auth/sessions`, `/api/v1/users/{id}/sessions`, and how the use of sessions is recorded.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, Client, PASSWORD, begin_minutes, eventually};

const PATH: &str = "/api/v1/auth/sessions";

#[tokio::test]
async fn a_user_sees_where_they_are_logged_in() {
    let app = App::start();
    let phone = app.user().await;
    app.clock.advance(Duration::from_mins(1));
    let laptop = app.login(&phone.email).await;
    app.user().await;
    let sessions = laptop.get(PATH).await.assert(200).json();
    let sessions = sessions["data"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&true.into(), &false.into()));
    assert_eq!(sessions[0]["address"], "127.0.0.1");
    let time = |name: &str| sessions[1][name].as_str().unwrap().to_owned();
    assert!(time("created_at") <= time("last_seen_at") && time("last_seen_at") < time("expires_at"));
}

#[tokio::test]
async fn ending_a_session_refuses_its_tokens_at_once() {
    let app = App::start();
    let phone = app.user().await;
    let laptop = app.login(&phone.email).await;
    let sessions = laptop.get(PATH).await.assert(200).json();
    let mut all = sessions["data"].as_array().unwrap().iter();
    let other = all.find(|session| session["current"] == false).unwrap();
    let path = format!("{PATH}/{}", other["id"].as_str().unwrap());
    laptop.delete(&path).await.assert(204);
    phone.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    laptop.delete(&path).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_user_cannot_end_the_session_of_another() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    let sessions = ada.get(PATH).await.assert(200).json();
    let path = format!("{PATH}/{}", sessions["data"][0]["id"].as_str().unwrap());
    bob.delete(&path).await.assert_problem(404, "not-found");
    ada.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn malformed_ids_are_refused() {
    let app = App::start();
    let client = app.user().await;
    client.delete(&format!("{PATH}/nonsense")).await.assert_problem(400, "malformed-path");
    client.delete(&format!("{PATH}/{}", Uuid::nil())).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn expired_sessions_are_not_listed() {
    let app = App::start();
    let old = app.user().await;
    app.clock.advance(Duration::from_hours(13));
    let new = app.login(&old.email).await;
    let sessions = new.get(PATH).await.assert(200).json();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_admin_lists_the_sessions_of_a_user() {
    let app = App::start();
    let (phone, admin) = (app.user().await, app.admin().await);
    app.clock.advance(Duration::from_mins(1));
    let laptop = app.login(&phone.email).await;
    let mut own = laptop.get(PATH).await.assert(200).json();
    let path = format!("/api/v1/users/{}/sessions", phone.id);
    let listed = admin.get(&path).await.assert(200).json();
    for session in own["data"].as_array_mut().unwrap() {
        session.as_object_mut().unwrap().remove("current");
    }
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert_eq!(listed, own);
    assert_eq!(listed["data"][0]["address"], "127.0.0.1");
    laptop.post_empty("/api/v1/auth/logout").await.assert(204);
    let left = admin.get(&path).await.assert(200).json();
    assert_eq!(left["data"], json!([own["data"][1]]));
    app.clock.advance(Duration::from_hours(13));
    let admin = app.login(&admin.email).await;
    assert_eq!(admin.get(&path).await.assert(200).json(), json!({"data": []}));
}

#[tokio::test]
async fn an_unknown_user_has_no_sessions_to_list() {
    let app = App::start();
    let admin = app.admin().await;
    let path = |id: &str| format!("/api/v1/users/{id}/sessions");
    admin.get(&path(&Uuid::now_v7().to_string())).await.assert_problem(404, "not-found");
    admin.get(&path("nonsense")).await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn at_most_a_hundred_sessions_are_listed_the_most_recently_used_first() {
    let app = App::start();
    let (user, admin) = (app.user().await, app.admin().await);
    // More than log-ins leave.
    let more = format!(
        "INSERT INTO sessions (id, user_id, remember, access_expires_at, refresh_expires_at, expires_at, created_at,
             last_seen_at)
         SELECT gen_random_uuid(), user_id, remember, access_expires_at, refresh_expires_at, expires_at, created_at,
             last_seen_at + number * interval '1 minute'
         FROM sessions, generate_series(1, 105) AS number WHERE user_id = '{}'",
        user.id
    );
    app.sql().batch_execute(&more).unwrap();
    for list in [user.get(PATH).await, admin.get(&format!("/api/v1/users/{}/sessions", user.id)).await] {
        let list = list.assert(200).json();
        let used: Vec<_> = list["data"].as_array().unwrap().iter().map(|one| &one["last_seen_at"]).collect();
        assert_eq!(used.len(), 100);
        assert!(used.is_sorted_by(|newer, older| newer.as_str() > older.as_str()), "{used:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_when_lifetimes_were_shortened_meanwhile() {
    let app = App::start();
    let mut client = app.user().await;
    let long = client.clone();
    let shortened = app.replica_with(&[("ACCESS_TOKEN_TTL", "1s")]);
    client = client.on(&shortened.base);
    client.refresh().await.assert(200);
    client.post_empty("/api/v1/auth/logout").await.assert(204);
    app.clock.advance(Duration::from_mins(5));
    let restarted = app.replica();
    let long = long.on(&restarted.base);
    long.get("/api/v1/user").await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn activity_that_could_not_be_written_is_kept() {
    let app = App::start();
    let mut client = app.user().await;
    let stolen = client.refresh_token.clone().unwrap();
    client.refresh().await.assert(200);
    let mut blocker = app.sql();
    blocker.batch_execute("BEGIN; LOCK TABLE sessions IN EXCLUSIVE MODE").unwrap();
    client.get("/api/v1/user").await.assert(200);
    let writes = || app.database().statements_with("WITH free AS (SELECT id FROM sessions");
    let before = writes();
    eventually("a write that fails at the lock", async || writes() > before).await;
    let written = || sessions(&app, &client, "seen_generation > 0");
    assert_eq!(written(), 0);
    blocker.batch_execute("ROLLBACK").unwrap();
    eventually("the write", async || written() == 1).await;
    app.clock.advance(Duration::from_secs(11));
    client.refresh_with(&stolen).await.assert_problem(401, "refresh-token-reused");
}

fn sessions(app: &App, client: &Client, condition: &str) -> i64 {
    app.count(&format!("SELECT count(*) FROM sessions WHERE user_id = '{}' AND {condition}", client.id))
}

#[tokio::test]
async fn activity_of_others_is_written_while_a_session_is_locked() {
    let app = App::start();
    let (locked, other) = (app.user().await, app.user().await);
    let mut holder = app.sql();
    let lock = format!("BEGIN; SELECT FROM sessions WHERE user_id = '{}' FOR UPDATE", locked.id);
    holder.batch_execute(&lock).unwrap();
    app.clock.advance(Duration::from_mins(2));
    for client in [&locked, &other] {
        client.get("/api/v1/coins").await.assert(200);
    }
    let seen = "last_seen_at > created_at + interval '1 minute'";
    eventually("the activity of the other", async || sessions(&app, &other, seen) == 1).await;
    assert_eq!(sessions(&app, &locked, seen), 0);
    holder.batch_execute("ROLLBACK").unwrap();
    eventually("the activity of the one", async || sessions(&app, &locked, seen) == 1).await;
}

async fn log_in(app: &App, client: &Client) -> Client {
    let mut client = client.on(&app.base);
    let body = json!({"email": client.email, "password": PASSWORD});
    let pair = app.anyone().post("/api/v1/auth/login", &body).await.assert(200).json();
    client.take(&pair);
    client
}

#[tokio::test]
async fn a_session_in_use_outlives_a_hundred_others_that_began_in_the_same_minute() {
    let app = App::start();
    begin_minutes(&app.clock, 1);
    let used = app.user().await;
    let mut unused = Vec::new();
    for _ in 0..105 {
        app.clock.advance(Duration::from_millis(200));
        used.get("/api/v1/coins").await.assert(200);
        unused.push(log_in(&app, &used).await);
    }
    used.get("/api/v1/coins").await.assert(200);
    assert_eq!(sessions(&app, &used, "true"), 100);
    // The six that were not used for the longest time have ended.
    for (number, client) in unused.iter().enumerate() {
        let expected = if number < 6 { 401 } else { 200 };
        client.get("/api/v1/coins").await.assert(expected);
    }
}

#[tokio::test]
async fn a_session_in_use_on_another_server_outlives_a_hundred_log_ins() {
    let app = App::start();
    let other = app.replica();
    begin_minutes(&app.clock, 1);
    let used = app.user().await.on(&other.base);
    app.clock.advance(Duration::from_secs(2));
    used.get("/api/v1/coins").await.assert(200);
    eventually("written activity", async || sessions(&app, &used, "last_seen_at > created_at") == 1).await;
    for _ in 0..105 {
        app.clock.advance(Duration::from_millis(200));
        log_in(&app, &used).await;
    }
    used.get("/api/v1/coins").await.assert(200);
    let ended = used.on(&app.base).get("/api/v1/coins").await;
    assert_eq!(ended.status, 200);
}
