//! Failures between the server and PostgreSQL: silence, cuts, hanging connections.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt,
};
use futures_util::{FutureExt, future::join_all};
use mintage::{
    db::{Db, within_budget},
    http::Problem,
    tasks::Tasks,
};
use serde_json::json;

use crate::support::{
    App, Client, Database, PASSWORD, PathToDatabase, Response,
    binary::{Server, directory},
    eventually,
};

const AT_ONCE: Duration = Duration::from_millis(500);

/// Users whose requests have opened all connections of the pool.
async fn users(app: &App, count: usize) -> Vec<Client> {
    let mut users = Vec::new();
    for _ in 0..count {
        users.push(app.user().await);
    }
    for _ in 0..5 {
        for answer in ask(&users).await {
            answer.assert(200);
        }
    }
    users
}

async fn ask(users: &[Client]) -> Vec<Response> {
    join_all(users.iter().map(|user| user.get("/api/v1/user"))).await
}

async fn value(app: &App, sample: &str) -> u64 {
    let text = reqwest::get(app.metrics.as_ref().unwrap()).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn silent_database_connections_are_given_up_and_replaced() {
    for clients in [4, 24] {
        let app = App::with_path(&[("METRICS_BIND", "127.0.0.1:0")]);
        let users = users(&app, clients).await;
        app.path().lose_open_connections();
        let lost = Instant::now();
        eventually("recovery", async || ask(&users).await.iter().all(|answer| answer.status == 200)).await;
        println!("{clients} clients: back after {:?}", lost.elapsed());
        eventually("free slots", async || {
            let in_use = value(&app, "mintage_database_slots_in_use").await;
            value(&app, "mintage_database_connections_given_up_total").await >= 1 && in_use == 0
        })
        .await;
        assert_eq!(value(&app, "mintage_database_outages_total").await, 0, "new connections worked");
        for answer in ask(&users).await {
            answer.assert(200);
        }
    }
}

#[tokio::test]
async fn database_connections_that_were_silent_are_not_reused() {
    let app = App::with_path(&[("METRICS_BIND", "127.0.0.1:0")]);
    let users = users(&app, 8).await;
    app.path().lose_all_connections();
    eventually("refusal at once", async || all_are_refused_at_once(&users).await).await;
    app.path().lose_open_connections();
    let works = Instant::now();
    eventually("recovery", async || ask(&users).await.iter().all(|answer| answer.status == 200)).await;
    println!("back after {:?}", works.elapsed());
    assert_eq!(value(&app, "mintage_database_outages_total").await, 1);
    eventually("free slots", async || value(&app, "mintage_database_slots_in_use").await == 0).await;
}

async fn all_are_refused_at_once(users: &[Client]) -> bool {
    let begin = Instant::now();
    let answers = ask(users).await;
    for answer in &answers {
        assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
    }
    answers.iter().all(|answer| answer.status == 503) && begin.elapsed() < AT_ONCE
}

#[tokio::test]
async fn a_database_that_is_frozen_is_refused_at_once_after_the_first_requests() {
    let app = App::with_path(&[("METRICS_BIND", "127.0.0.1:0")]);
    let users = users(&app, 8).await;
    app.path().hold();
    let held = Instant::now();
    eventually("refusal at once", async || all_are_refused_at_once(&users).await).await;
    println!("refused at once after {:?}", held.elapsed());
    users[0].get("/api/v1/coins").await.assert(200);
    app.path().release();
    eventually("recovery", async || ask(&users).await.iter().all(|answer| answer.status == 200)).await;
    assert_eq!(value(&app, "mintage_database_outages_total").await, 1);
}

#[tokio::test]
async fn a_database_that_is_gone_is_refused_at_once_and_used_as_soon_as_it_is_back() {
    let app = App::with_path(&[("METRICS_BIND", "127.0.0.1:0")]);
    let users = users(&app, 64).await;
    app.path().cut();
    eventually("refusal at once", async || all_are_refused_at_once(&users).await).await;
    let mut hints = Vec::new();
    for answer in ask(&users).await {
        hints.push(answer.assert_problem(503, "unavailable").header("retry-after").to_owned());
    }
    assert!(hints.iter().all(|hint| ["1", "2", "3"].contains(&hint.as_str())), "{hints:?}");
    assert!(hints.iter().any(|hint| *hint != hints[0]), "all clients would come back together: {hints:?}");
    app.path().restore();
    let back = Instant::now();
    eventually("recovery", async || ask(&users).await.iter().all(|answer| answer.status == 200)).await;
    println!("back after {:?}", back.elapsed());
    assert_eq!(value(&app, "mintage_database_outages_total").await, 1);
}

/// As with `max_connections` taken by others.
#[tokio::test]
async fn when_no_connection_can_be_opened_the_open_ones_are_still_used() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    // One after the other, which takes one connection.
    let mut users = Vec::new();
    for _ in 0..8 {
        users.push(app.user().await);
    }
    // Only a superuser's would be let in.
    let limit = |limit: i32| app.database().administer(&format!("CONNECTION LIMIT {limit}"));
    limit(0);
    for _ in 0..20 {
        for answer in ask(&users).await {
            answer.assert(200);
        }
    }
    // Without an open connection there is nothing to wait for.
    app.database().cut_connections();
    eventually("refusal at once", async || all_are_refused_at_once(&users).await).await;
    limit(-1);
    eventually("recovery", async || ask(&users).await.iter().all(|answer| answer.status == 200)).await;
}

#[tokio::test]
async fn a_failing_connection_or_statement_is_not_an_outage() {
    #[derive(QueryableByName)]
    struct Pid {
        #[diesel(sql_type = BigInt)]
        pid: i64,
    }
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    let users = users(&app, 8).await;
    let mut sql = app.database().connect_as_superuser();
    let one = "SELECT pid::bigint FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid() AND query LIKE '%users%' LIMIT 1";
    let Pid { pid } = sql_query(one).get_result(&mut sql).unwrap();
    sql.batch_execute(&format!("SELECT pg_terminate_backend({pid})")).unwrap();
    let refused = ask(&users).await.iter().filter(|answer| answer.status == 503).count();
    assert!(refused <= 1, "{refused} requests met one connection that ended");
    // Every request for a user runs into the lock timeout.
    sql.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").unwrap();
    for _ in 0..3 {
        for answer in ask(&users).await {
            answer.assert_problem(503, "unavailable");
        }
    }
    sql.batch_execute("ROLLBACK").unwrap();
    for answer in ask(&users).await {
        answer.assert(200);
    }
    assert_eq!(value(&app, "mintage_database_outages_total").await, 0);
    assert_eq!(value(&app, "mintage_database_connections_given_up_total").await, 0);
}

#[tokio::test]
async fn the_hops_of_a_request_share_two_seconds() {
    let database = Database::create();
    let db = Db::new(&database.url(), 2, &Tasks::default());
    let sleep = async |seconds: f32| {
        db.run(move |conn| Ok::<_, Problem>(conn.batch_execute(&format!("SELECT pg_sleep({seconds})"))?))
            .await
    };
    within_budget(async {
        sleep(1.2).await.unwrap();
        let problem = sleep(1.2).await.unwrap_err();
        assert!(problem.to_string().contains("no answer in time"), "{problem}");
        let begin = Instant::now();
        assert!(sleep(0.0).await.is_err());
        assert!(begin.elapsed() < AT_ONCE, "nothing is left");
    })
    .await;
    let problem = sleep(2.5).await.unwrap_err();
    assert!(problem.to_string().contains("statement timeout"), "PostgreSQL says it first: {problem}");
    assert_eq!(db.losses().abandoned, 0);
}

#[tokio::test]
async fn a_panic_frees_its_slot_and_closes_its_connection() {
    let database = Database::create();
    let db = Db::new(&database.url(), 1, &Tasks::default());
    let panicking = db.tx(|conn| -> Result<(), Problem> {
        conn.batch_execute("SELECT pg_advisory_lock(1)")?;
        panic!("on purpose");
    });
    AssertUnwindSafe(panicking).catch_unwind().await.unwrap_err();
    assert_eq!(db.in_use().0, 0);
    // The connection has ended, and its lock with it, so that another one gets it.
    let lock = |conn: &mut PgConnection| Ok::<_, Problem>(conn.batch_execute("SELECT pg_advisory_lock(1)")?);
    let free = "SET lock_timeout = '20s'; SELECT pg_advisory_lock(1)";
    database.connect().batch_execute(free).unwrap();
    db.tx(lock).await.unwrap();
}

/// A server with so many slots, and a user of it.
async fn small_server(path: &PathToDatabase, database: &Database, slots: &str) -> (Server, Client) {
    let home = directory();
    let url = database.url_by(path.address);
    let settings = [("DATABASE_URL", url.expose()), ("DATABASE_POOL_SIZE", slots), ("WORKERS", "1")];
    let server = Server::start(home.path(), &settings);
    let mut user = server.client();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    user.post("/api/v1/auth/register", &body).await.assert(201);
    let pair = user.post("/api/v1/auth/login", &body).await.assert(200).json();
    user.take(&pair);
    (server, user)
}

#[tokio::test]
async fn a_server_whose_connections_hang_can_be_stopped() {
    let database = Database::create();
    let path = PathToDatabase::to(Database::socket());
    let (mut server, user) = small_server(&path, &database, "4").await;
    path.lose_all_connections();
    // Meanwhile the worker looks for jobs, once a second.
    user.get("/api/v1/user").await.assert_problem(503, "unavailable");
    let status = server.stop();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_server_that_has_lost_too_many_threads_ends() {
    let database = Database::create();
    let path = PathToDatabase::to(Database::socket());
    let (mut server, user) = small_server(&path, &database, "1").await;
    // The process may end in the middle of an answer.
    let asking = tokio::spawn(async move {
        loop {
            user.try_get("/api/v1/user").await;
            // A client that asks again and again, not as fast as it can.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let ended = tokio::task::spawn_blocking(move || server.wait());
    while !ended.is_finished() {
        path.lose_open_connections();
        // Time to open a connection, which is lost as well.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = ended.await.unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
    asking.abort();
}
