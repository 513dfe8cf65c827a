use std::time::Duration;

use diesel::connection::SimpleConnection;
use uuid::Uuid;

use crate::support::App;

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
async fn nobody_ends_the_session_of_another() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    let sessions = ada.get(PATH).await.assert(200).json();
    let path = format!("{PATH}/{}", sessions["data"][0]["id"].as_str().unwrap());
    bob.delete(&path).await.assert_problem(404, "not-found");
    ada.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn ids_that_are_none_are_refused() {
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
async fn what_could_not_be_written_down_is_not_forgotten() {
    let app = App::start();
    let mut client = app.user().await;
    let stolen = client.refresh_token.clone().unwrap();
    client.refresh().await.assert(200);
    client.get("/api/v1/user").await.assert(200);
    let mut blocker = app.sql();
    blocker.batch_execute("BEGIN; LOCK TABLE sessions IN EXCLUSIVE MODE").unwrap();
    // Longer than a flush takes to begin and to fail.
    tokio::time::sleep(Duration::from_secs(9)).await;
    blocker.batch_execute("ROLLBACK").unwrap();
    app.clock.advance(Duration::from_secs(11));
    client.refresh_with(&stolen).await.assert_problem(401, "refresh-token-reused");
}
