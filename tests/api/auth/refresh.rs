//! Refreshing tokens.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use diesel::connection::SimpleConnection;
use futures_util::future::{join, join_all};
use serde_json::Value;

use crate::support::{App, Client, eventually};

const AFTER_THE_GRACE: Duration = Duration::from_secs(11);

fn refresh_token(pair: &Value) -> &str {
    pair["refresh_token"].as_str().unwrap()
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_that_works() {
    let app = App::start();
    let mut client = app.user().await;
    let old = client.clone();
    client.refresh().await.assert(200);
    assert_ne!(client.refresh_token, old.refresh_token);
    client.get("/api/v1/user").await.assert(200);
    old.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn an_early_refresh_is_never_forbidden() {
    let app = App::start();
    let mut client = app.user().await;
    for _ in 0..5 {
        client.refresh().await.assert(200);
    }
}

#[tokio::test]
async fn of_50_parallel_refreshes_all_get_the_same_successor() {
    let app = App::start();
    let client = app.user().await;
    let token = client.refresh_token.clone().unwrap();
    let clients: Vec<_> = (0..50).map(|_| app.anyone()).collect();
    let answers = join_all(clients.iter().map(|client| client.refresh_with(&token))).await;
    let pairs: Vec<_> = answers.into_iter().map(|answer| answer.assert(200).json()).collect();
    assert!(pairs.iter().all(|pair| refresh_token(pair) == refresh_token(&pairs[0])));
    for pair in &pairs {
        client.bearing(pair["access_token"].as_str().unwrap()).get("/api/v1/user").await.assert(200);
    }
    client.refresh_with(refresh_token(&pairs[0])).await.assert(200);
}

#[tokio::test]
async fn a_locked_session_holds_up_only_its_own_refreshes() {
    let app = App::start();
    let locked = app.user().await;
    let mut others = [app.user().await, app.user().await, app.user().await, app.user().await];
    let mut holder = app.sql();
    let lock = format!("BEGIN; SELECT FROM sessions WHERE user_id = '{}' FOR UPDATE", locked.id);
    holder.batch_execute(&lock).unwrap();
    let stop = AtomicBool::new(false);
    let token = locked.refresh_token.as_deref().unwrap();
    let tab = async || {
        let tab = app.anyone();
        while !stop.load(Ordering::Relaxed) {
            tab.refresh_with(token).await.assert_problem(503, "unavailable");
        }
    };
    let work = async {
        eventually("tabs that wait", async || app.database().waiting_for_locks() > 0).await;
        for _ in 0..50 {
            for answer in join_all(others.iter_mut().map(Client::refresh)).await {
                answer.assert(200);
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    join(join_all([tab(), tab(), tab()]), work).await;
    holder.batch_execute("ROLLBACK").unwrap();
    locked.refresh_with(token).await.assert(200);
}

#[tokio::test]
async fn slow_writes_delay_refreshes_but_refuse_none() {
    const CLIENTS: usize = 12;
    let app = App::with(&[("DATABASE_POOL_SIZE", "16")]);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(app.user().await);
    }
    app.sql()
        .batch_execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$; \
             CREATE TRIGGER slow BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .unwrap();
    for _ in 0..3 {
        for answer in join_all(clients.iter_mut().map(Client::refresh)).await {
            answer.assert(200);
        }
    }
}

#[tokio::test]
async fn reuse_of_an_old_refresh_token_ends_the_session() {
    let app = App::start();
    let mut client = app.user().await;
    let stolen = client.refresh_token.clone().unwrap();
    client.refresh().await.assert(200);
    client.refresh().await.assert(200);
    app.clock.advance(AFTER_THE_GRACE);
    let refused = client.refresh_with(&stolen).await.assert_problem(401, "refresh-token-reused");
    assert!(refused.header("www-authenticate").contains("invalid_token"));
    client.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    client.refresh().await.assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn reuse_is_noticed_as_soon_as_the_successor_was_used() {
    let app = App::start();
    let mut client = app.user().await;
    let stolen = client.refresh_token.clone().unwrap();
    client.refresh().await.assert(200);
    client.get("/api/v1/user").await.assert(200);
    app.clock.advance(AFTER_THE_GRACE);
    client.refresh_with(&stolen).await.assert_problem(401, "refresh-token-reused");
}

#[tokio::test]
async fn a_lost_response_does_not_end_the_session() {
    let app = App::start();
    let client = app.user().await;
    let token = client.refresh_token.clone().unwrap();
    let lost = client.refresh_with(&token).await.assert(200).json();
    app.clock.advance(Duration::from_mins(59));
    let again = client.refresh_with(&token).await.assert(200).json();
    assert_eq!(refresh_token(&again), refresh_token(&lost));
    let client = client.bearing(again["access_token"].as_str().unwrap());
    client.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn a_tab_that_lags_within_the_grace_gets_the_newest_token() {
    let app = App::with(&[("REFRESH_GRACE", "1m")]);
    let mut fast = app.user().await;
    let slow = fast.clone();
    fast.refresh().await.assert(200);
    fast.refresh().await.assert(200);
    let pair = slow.refresh_with(slow.refresh_token.as_deref().unwrap()).await.assert(200).json();
    assert_eq!(Some(refresh_token(&pair)), fast.refresh_token.as_deref());
}

#[tokio::test]
async fn an_unused_refresh_token_expires() {
    let app = App::start();
    let mut client = app.user().await;
    app.clock.advance(Duration::from_secs(12 * 3600 + 10));
    client.refresh().await.assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn use_keeps_a_session_alive_up_to_its_absolute_limit() {
    let app = App::start();
    let mut client = app.user().await;
    let mut hours = 0;
    while hours < 22 {
        app.clock.advance(Duration::from_hours(11));
        hours += 11;
        let pair = client.refresh().await.assert(200).json();
        let left = pair["refresh_expires_in"].as_i64().unwrap();
        assert!(left <= (24 - hours) * 3600, "{left} s after {hours} h");
    }
    app.clock.advance(Duration::from_secs(2 * 3600 + 10));
    client.refresh().await.assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn rotation_leaves_few_rows_behind() {
    let app = App::start();
    let mut client = app.user().await;
    for _ in 0..10 {
        app.clock.advance(AFTER_THE_GRACE);
        client.refresh().await.assert(200);
    }
    assert!(app.count("SELECT count(*) FROM refresh_tokens") <= 5);
}

#[tokio::test]
async fn a_refresh_reads_the_current_role() {
    let app = App::start();
    let mut user = app.user().await;
    for (role, status) in [("admin", 200), ("user", 403)] {
        let before = user.clone();
        app.update_user(&user, &format!("role = '{role}'"));
        user.refresh().await.assert(200);
        user.get("/api/v1/users").await.assert(status);
        assert_ne!(
            before.get("/api/v1/users").await.status,
            status,
            "a token keeps the role that it was issued with"
        );
    }
}
