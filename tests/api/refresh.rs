use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time;

use crate::support::{App, Client, eventually};

const AFTER_THE_GRACE: Duration = Duration::from_secs(11);

fn refresh_token(pair: &Value) -> &str {
    pair["refresh_token"].as_str().unwrap()
}

fn session_of(token: &str) -> Value {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["sid"].clone()
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
    let body = json!({"refresh_token": token});
    let answers = clients.iter().map(|client| client.post_until_served("/api/v1/auth/refresh", &body));
    let answers = join_all(answers).await;
    let pairs: Vec<_> = answers.into_iter().map(|answer| answer.assert(200).json()).collect();
    assert!(pairs.iter().all(|pair| refresh_token(pair) == refresh_token(&pairs[0])));
    for pair in &pairs {
        client.bearing(pair["access_token"].as_str().unwrap()).get("/api/v1/user").await.assert(200);
    }
    client.refresh_with(refresh_token(&pairs[0])).await.assert(200);
}

#[tokio::test]
async fn refreshes_that_wait_for_the_database_share_a_statement() {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    const SESSIONS: usize = 40;
    let app = App::start();
    let user = app.user().await;
    let clients = join_all((0..SESSIONS).map(|_| app.login(&user.email))).await;
    let (mut blocker, mut watcher) = (app.sql(), app.sql());
    blocker.batch_execute("BEGIN; LOCK TABLE refresh_tokens").unwrap();
    let before = app.database().statements();
    let release = async {
        let waiting = "SELECT count(*) AS count FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("statements that wait", async || {
            sql_query(waiting).get_result::<Count>(&mut watcher).unwrap().count > 0
        })
        .await;
        // The others come meanwhile; what waits for a lock is given up after 400 ms.
        time::sleep(Duration::from_millis(100)).await;
        blocker.batch_execute("ROLLBACK").unwrap();
    };
    let refreshes =
        join_all(clients.iter().map(|client| client.refresh_with(client.refresh_token.as_ref().unwrap())));
    let (answers, ()) = futures_util::future::join(refreshes, release).await;
    let successors: Vec<_> = answers.into_iter().map(|answer| answer.assert(200).json()).collect();
    let statements = app.database().statements() - before;
    assert!(statements < SESSIONS, "{statements} statements for {SESSIONS} refreshes");
    for (client, pair) in clients.iter().zip(&successors) {
        assert_eq!(session_of(client.token()), session_of(pair["access_token"].as_str().unwrap()));
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
async fn a_lost_response_logs_nobody_out() {
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
    let rows = diesel::sql_query("DELETE FROM refresh_tokens");
    assert!(diesel::RunQueryDsl::execute(rows, &mut app.sql()).unwrap() <= 5);
}

#[tokio::test]
async fn a_refresh_sees_the_role_of_now() {
    let app = App::start();
    let user = app.user().await;
    user.get("/api/v1/users").await.assert_problem(403, "forbidden");
    let admin: Client = app.admin().await;
    admin.get("/api/v1/users").await.assert(200);
}
