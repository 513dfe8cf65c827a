//! Wrong clocks of servers and of PostgreSQL.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use mintage::clock::Clock;

use crate::support::{
    App, Client, Database, PASSWORD,
    binary::{directory, mintage, run, stderr},
    eventually, noon,
};

const HOUR: TimeDelta = TimeDelta::hours(1);

/// A clock of the suite on a system whose clock is wrong by so much.
fn wrong(by: TimeDelta) -> Clock {
    let clock = noon();
    clock.jump_system(by);
    clock
}

fn refresh_token(client: &Client) -> &str {
    client.refresh_token.as_deref().unwrap()
}

/// Moves the clock of the database, and waits until the server has noticed.
async fn move_database_clock(app: &App, by: TimeDelta, before: TimeDelta) {
    let shown = || -> DateTime<Utc> { app.clock.now() };
    let target = shown() + (by - before);
    app.database().move_clock(by);
    eventually("a clock in step", async || (shown() - target).abs() < TimeDelta::seconds(90)).await;
}

#[tokio::test]
async fn servers_whose_system_clocks_differ_accept_the_tokens_of_each_other() {
    let one = App::start();
    for by in [TimeDelta::seconds(30), TimeDelta::seconds(-30), HOUR, -HOUR, TimeDelta::days(400)] {
        let two = one.replica_at(wrong(by));
        assert!((one.clock.now() - two.clock.now()).abs() < TimeDelta::seconds(1), "{by}");
        let mut user = one.user().await;
        let mut elsewhere = two.login(&user.email).await;
        for app in [&two, &one] {
            user = user.on(&app.base);
            elsewhere = elsewhere.on(&app.base);
            for client in [&mut user, &mut elsewhere] {
                client.get("/api/v1/user").await.assert(200);
                client.refresh().await.assert(200);
                client.get("/api/v1/user").await.assert(200);
            }
        }
        user.on(&two.base).post_empty("/api/v1/auth/logout").await.assert(204);
        user.on(&two.base).get("/api/v1/user").await.assert_problem(401, "token-revoked");
        eventually("refusal elsewhere", async || user.get("/api/v1/user").await.status == 401).await;
    }
}

#[tokio::test]
async fn a_system_clock_that_jumps_changes_nothing() {
    let app = App::start();
    let mut user = app.user().await;
    for by in [-HOUR, HOUR * 2, TimeDelta::days(-500), TimeDelta::days(1000)] {
        app.clock.jump_system(by);
        user.get("/api/v1/user").await.assert(200);
        let pair = user.refresh().await.assert(200).json();
        assert_eq!(pair["expires_in"], 600);
        user.get("/api/v1/user").await.assert(200);
    }
    app.clock.advance(Duration::from_secs(606));
    user.get("/api/v1/user").await.assert_problem(401, "token-expired");
    user.refresh().await.assert(200);
}

#[tokio::test]
async fn an_ended_session_does_not_live_again_when_a_clock_went_ahead_and_back() {
    let app = App::with_movable_database_clock();
    for (database, system) in [(700, 700), (3 * 3600, 0)] {
        let (database, system) = (TimeDelta::seconds(database), TimeDelta::seconds(system));
        let user = app.user().await;
        user.post_empty("/api/v1/auth/logout").await.assert(204);
        user.get("/api/v1/user").await.assert_problem(401, "token-revoked");
        // Proof that what has really expired is removed meanwhile.
        app.sql()
            .batch_execute(
                "INSERT INTO blocklist (session_id, expires_at) \
                 VALUES (gen_random_uuid(), now() - interval '3 hours')",
            )
            .unwrap();
        app.clock.jump_system(system);
        move_database_clock(&app, database, TimeDelta::zero()).await;
        // A server that starts then prunes at once.
        let other = app.replica_at(app.clock.clone());
        eventually("pruning", async || {
            let old = "SELECT count(*) FROM blocklist WHERE expires_at < now() - interval '2 hours'";
            app.count(old) == 0
        })
        .await;
        app.clock.jump_system(-system);
        move_database_clock(&app, TimeDelta::zero(), database).await;
        let third = app.replica_at(app.clock.clone());
        for app in [&app, &other, &third] {
            user.on(&app.base).get("/api/v1/user").await.assert_problem(401, "token-revoked");
        }
    }
}

#[tokio::test]
async fn tokens_of_a_database_clock_that_was_ahead_are_not_called_invalid() {
    let app = App::with_movable_database_clock();
    let mut before = app.user().await;
    let old = before.clone();
    move_database_clock(&app, HOUR, TimeDelta::zero()).await;
    before.refresh().await.assert(200);
    let mut ahead = app.user().await;
    move_database_clock(&app, TimeDelta::zero(), HOUR).await;
    for client in [&mut before, &mut ahead] {
        let refused = client.get("/api/v1/user").await.assert_problem(503, "unavailable");
        assert!(!refused.header("retry-after").is_empty());
    }
    // A tab that lags cannot be distinguished from a thief: neither gets a token, and nothing ends.
    old.refresh_with(refresh_token(&old)).await.assert_problem(503, "unavailable");
    for client in [&mut before, &mut ahead] {
        client.refresh().await.assert(200);
        client.get("/api/v1/user").await.assert(200);
    }
}

#[tokio::test]
async fn a_database_clock_that_is_ahead_ends_no_session() {
    let app = App::with_movable_database_clock();
    let mut user = app.user().await;
    let ahead = TimeDelta::hours(13);
    move_database_clock(&app, ahead, TimeDelta::zero()).await;
    let refused = user.refresh().await.assert_problem(503, "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    move_database_clock(&app, TimeDelta::zero(), ahead).await;
    user.refresh().await.assert(200);
    // When both clocks say that it has expired, it has.
    app.clock.advance(Duration::from_secs(12 * 3600 + 10));
    user.refresh().await.assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn a_refresh_token_that_is_found_after_its_expiry_ends_no_session() {
    let app = App::start();
    let mut user = app.user().await;
    let found = user.clone();
    for _ in 0..2 {
        app.clock.advance(Duration::from_hours(7));
        user.refresh().await.assert(200);
    }
    found.refresh_with(refresh_token(&found)).await.assert_problem(401, "invalid-refresh-token");
    user.refresh().await.assert(200);
}

#[tokio::test]
async fn log_ins_work_by_the_clock_of_the_database() {
    let app = App::with_movable_database_clock();
    app.register("ada@example.com").await;
    move_database_clock(&app, HOUR, TimeDelta::zero()).await;
    let body = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
    app.anyone().post("/api/v1/auth/login", &body).await.assert(200);
    let ahead = "SELECT count(*) FROM sessions WHERE created_at > now() + interval '50 minutes'";
    assert_eq!(app.count(ahead), 1);
}

#[test]
fn commands_write_times_by_the_clock_of_the_database() {
    let database = Database::create();
    database.make_clock_movable();
    database.move_clock(TimeDelta::days(400));
    let (home, url) = (directory(), database.url());
    let create = ["create-admin", "--email", "root@example.com"];
    let output = run(mintage(home.path(), &[("DATABASE_URL", url.expose())]).args(create));
    assert!(output.status.success(), "{}", stderr(&output));
    let ahead = "SELECT count(*) FROM users WHERE created_at > now() + interval '399 days'";
    assert_eq!(database.count(ahead), 1);
}
