//! PostgreSQL goes away and comes back.

use std::time::{Duration, Instant};

use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query};
use serde_json::json;

use crate::support::{
    App, PASSWORD, SECRET_KEY,
    binary::{directory, fail, mintage},
    eventually,
};

#[tokio::test]
async fn without_the_database_reads_from_memory_continue_and_the_rest_is_a_503() {
    let app = App::start();
    let user = app.user().await;
    app.database().go_away();

    user.get("/api/v1/coins").await.assert(200);
    app.anyone().get("/healthz").await.assert(200);
    app.anyone().get("/.well-known/jwks.json").await.assert(200);

    // A load balancer must not take the server out while it can answer from memory.
    let says_so = async || {
        let ready = app.anyone().get("/readyz").await.assert(200).json();
        assert_eq!(ready["status"], "ready");
        ready["database"] == "away" && ready["blocklist_confirmed_seconds_ago"].as_u64() >= Some(3)
    };
    eventually("word of the outage", says_so).await;
    user.get("/api/v1/coins").await.assert(200);
    user.get("/api/v1/user").await.assert_problem(503, "unavailable");
    user.post_empty("/api/v1/auth/logout").await.assert_problem(503, "unavailable");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    app.anyone().post("/api/v1/auth/login", &body).await.assert_problem(503, "unavailable");
    app.anyone().post("/api/v1/auth/register", &body).await.assert_problem(503, "unavailable");

    app.database().come_back();
    eventually("recovery", async || user.get("/api/v1/user").await.status == 200).await;
    let is_up = async || app.anyone().get("/readyz").await.assert(200).json()["database"] == "up";
    eventually("word of the recovery", is_up).await;
    app.register("ada@example.com").await;
}

#[tokio::test]
async fn reading_coins_sends_no_query_to_the_database() {
    const READS: usize = 600;
    let app = App::start();
    let user = app.user().await;
    // Blocks the worker, which would look for jobs every second.
    let mut blocker = app.sql();
    blocker.batch_execute("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE").unwrap();
    let statements_of = async |path: &str| {
        let before = app.database().statements();
        for _ in 0..READS {
            user.get(path).await.assert(200);
        }
        app.database().statements() - before
    };
    for path in ["/api/v1/coins", "/api/v1/coins?sort=price&limit=3", "/api/v1/coins/btc"] {
        // Background tasks take a few.
        let count = statements_of(path).await;
        assert!(count < READS / 2, "{count} statements for {READS} times {path}");
    }
    assert!(statements_of("/api/v1/user").await >= READS, "the count is real");
}

#[tokio::test]
async fn a_server_cut_off_from_revocations_for_too_long_accepts_no_token() {
    let app = App::with(&[("TOKEN_MAX_STALENESS", "20s")]);
    let user = app.user().await;
    app.database().go_away();
    user.get("/api/v1/coins").await.assert(200);
    eventually("refusal", async || user.get("/api/v1/coins").await.status == 503).await;
    app.anyone().get("/readyz").await.assert_problem(503, "unavailable");
    app.database().come_back();
    for path in ["/api/v1/coins", "/readyz"] {
        eventually("recovery", async || user.get(path).await.status == 200).await;
    }
}

#[tokio::test]
async fn a_server_that_receives_no_changes_is_not_ready() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    let user = app.user().await;
    // Once the listening connection is cut, the list of ended sessions cannot be loaded.
    let mut holder = app.sql();
    holder.batch_execute("BEGIN; LOCK TABLE blocklist IN ACCESS EXCLUSIVE MODE").unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'SELECT clock_timestamp%'";
    let began = Instant::now();
    eventually("the cut", async || {
        sql_query(cut).execute(&mut app.database().connect_as_superuser()).unwrap() >= 1
    })
    .await;
    eventually("not ready", async || app.anyone().get("/readyz").await.status == 503).await;
    user.get("/api/v1/user").await.assert(200);
    assert!(began.elapsed() >= Duration::from_secs(14), "{:?}", began.elapsed());
    let problem = app.anyone().get("/readyz").await.assert_problem(503, "unavailable").json();
    assert_eq!(problem["detail"], "the database answers, but notifications of changes do not arrive");
    holder.batch_execute("ROLLBACK").unwrap();
    eventually("ready", async || app.anyone().get("/readyz").await.status == 200).await;
    user.post_empty("/api/v1/auth/logout").await.assert(204);
}

#[tokio::test]
async fn a_start_that_meets_a_locked_table_ends_with_an_error() {
    let app = App::start();
    let mut holder = app.sql();
    holder.batch_execute("BEGIN; LOCK TABLE blocklist IN ACCESS EXCLUSIVE MODE").unwrap();
    let (home, url) = (directory(), app.database().url());
    let error =
        fail(&mut mintage(home.path(), &[("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)]));
    assert!(
        error.contains("cannot load data from PostgreSQL into memory") && error.contains("lock timeout"),
        "{error}"
    );
}

#[tokio::test]
async fn a_revocation_during_an_outage_of_the_view_is_seen_afterwards() {
    let one = App::start();
    let two = one.replica();
    let user = one.user().await;
    let elsewhere = user.on(&two.base);
    // Both views lose their connection; the logout happens as soon as the database is back.
    one.database().go_away();
    one.database().come_back();
    eventually("log-out", async || user.post_empty("/api/v1/auth/logout").await.status == 204).await;
    user.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
}

#[tokio::test]
async fn a_full_hash_queue_is_an_early_503() {
    let app = App::with(&[("HASH_QUEUE", "1"), ("HASH_THREADS", "1"), ("BCRYPT_COST", "10")]);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let clients: Vec<_> = (0..30).map(|_| app.anyone()).collect();
    let logins = clients.iter().map(|client| client.post("/api/v1/auth/login", &body));
    let answers = futures_util::future::join_all(logins).await;
    let refused: Vec<_> = answers.into_iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty(), "30 logins do not fit into a queue of one");
    for answer in refused {
        let answer = answer.assert_problem(503, "overloaded");
        assert!(["2", "3", "4"].contains(&answer.header("retry-after")));
    }
    app.anyone().get("/healthz").await.assert(200);
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_a_503_and_the_pool_recovers() {
    let app = App::start();
    let user = app.user().await;
    let mut blocker = app.sql();
    blocker.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").unwrap();
    let requests = (0..20).map(|_| user.get("/api/v1/user"));
    for answer in futures_util::future::join_all(requests).await {
        answer.assert_problem(503, "unavailable");
    }
    user.get("/api/v1/coins").await.assert(200);
    blocker.batch_execute("ROLLBACK").unwrap();
    eventually("recovery", async || user.get("/api/v1/user").await.status == 200).await;
}
