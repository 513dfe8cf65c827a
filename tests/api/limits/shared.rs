//! Limits of requests that several servers share, and what responses state of them.

use std::time::{Duration, Instant};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Binary};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    auth::api_keys::with_key,
    support::{
        App, Client, Database, PASSWORD,
        binary::{Server, directory},
        eventually,
    },
};

const ME: &str = "/api/v1/user";
const COINS: &str = "/api/v1/coins";
const LOGIN: &str = "/api/v1/auth/login";

/// The number of requests that are admitted, of so many at each server at the same time.
async fn admitted(user: &Client, servers: &[&App], each: usize) -> usize {
    let clients: Vec<_> = servers.iter().map(|server| user.on(&server.base)).collect();
    let mut admitted = 0;
    // Not all at once, so that the pools of the servers have room for what is admitted.
    for _ in 0..each.div_ceil(10) {
        let answers = join_all(clients.iter().flat_map(|client| (0..10).map(|_| client.get(ME)))).await;
        for answer in answers {
            if answer.status == 200 {
                admitted += 1;
            } else {
                answer.assert_problem(429, "too-many-requests");
            }
        }
    }
    admitted
}

fn exchanges(app: &App) -> usize {
    app.database().statements_with("INSERT INTO rate_limits")
}

#[tokio::test]
async fn three_servers_together_exceed_a_limit_by_at_most_5_percent() {
    // Nothing is earned back during the test.
    let one = App::with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "300/1h")]);
    let (two, three) = (one.replica(), one.replica());
    let user = one.user().await;
    // The log-in has used one.
    let admitted = 1 + admitted(&user, &[&one, &two, &three], 200).await;
    assert!((300..=315).contains(&admitted), "{admitted} of 300");
    for server in [&one, &two, &three] {
        user.on(&server.base).get(ME).await.assert_problem(429, "too-many-requests");
    }
    let other = one.user().await;
    other.on(&two.base).get(ME).await.assert(200);
}

/// Each server alone would admit the whole rate.
#[tokio::test]
async fn the_rate_beyond_the_burst_is_shared_too() {
    let settings = [("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "60/10m"), ("ACCESS_TOKEN_TTL", "1d")];
    let one = App::with(&settings);
    let (two, three) = (one.replica(), one.replica());
    let servers = [&one, &two, &three];
    let user = one.user().await;
    let mut all = 1 + admitted(&user, &servers, 30).await;
    for _ in 0..6 {
        one.clock.advance(Duration::from_mins(9));
        user.on(&two.base).get(ME).await.assert_problem(429, "too-many-requests");
        one.clock.advance(Duration::from_mins(1));
        all += admitted(&user, &servers, 10).await;
    }
    assert!((66..=69).contains(&all), "{all} of 60 and one in each of six intervals");
}

#[tokio::test]
async fn a_used_up_limit_survives_the_restart_of_all_servers() {
    let one = App::with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "40/1h")]);
    let user = one.user().await;
    assert_eq!(1 + admitted(&user, &[&one], 50).await, 40);
    let two = one.replica();
    drop(one);
    user.on(&two.base).get(ME).await.assert_problem(429, "too-many-requests");
    let three = two.replica();
    drop(two);
    let refused = user.on(&three.base).get(ME).await.assert_problem(429, "too-many-requests");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_used_up_limit_survives_a_server_that_is_killed() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let settings = [("DATABASE_URL", url.expose()), ("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "40/1h")];
    let mut server = Server::start(home.path(), &settings);
    server.register("ada@example.com").await;
    let user = server.log_in("ada@example.com").await;
    let mut admitted = 0;
    while user.get(ME).await.status == 200 {
        admitted += 1;
        assert!(admitted <= 40, "{admitted} of 40");
    }
    server.kill();
    let server = Server::start(home.path(), &settings);
    let refused = user.on(&server.base).get(ME).await.assert_problem(429, "too-many-requests");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    // Only that user is limited.
    server.register("bob@example.com").await;
    server.log_in("bob@example.com").await.get(ME).await.assert(200);
}

/// Requests that no exchange has followed yet are shared when the server stops.
#[tokio::test]
async fn a_server_that_stops_shares_what_it_has_counted() {
    let one = App::with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "6000/1h")]);
    let user = one.user().await;
    let two = one.replica();
    for _ in 0..50 {
        user.get(ME).await.assert(200);
    }
    drop(one);
    // 51 requests of an hour each, with those of registering and logging in by address beside them.
    let used = "SELECT count(*) FROM rate_limits WHERE free_at - now() > interval '50 hours'";
    assert_eq!(two.count(used), 1);
}

#[tokio::test]
async fn a_request_far_from_its_limit_makes_no_statement() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "60000/1s")]);
    let user = app.user().await;
    let (begin, before) = (Instant::now(), exchanges(&app));
    for _ in 0..300 {
        user.get(ME).await.assert(200);
    }
    let made = exchanges(&app) - before;
    // Only the task in the background, five times a second.
    let ticks = begin.elapsed().as_millis() / 200;
    assert!(made as u128 <= ticks + 2, "{made} exchanges in {ticks} intervals");
    eventually("sharing in the background", async || exchanges(&app) > before).await;
}

#[tokio::test]
async fn a_flood_beyond_a_limit_makes_no_statement() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "20/1h")]);
    let user = app.user().await;
    assert_eq!(1 + admitted(&user, &[&app], 30).await, 20);
    let before = exchanges(&app);
    assert_eq!(admitted(&user, &[&app], 300).await, 0);
    // At most the log-in, which counted against the address, was shared in the meantime.
    let made = exchanges(&app) - before;
    assert!(made <= 1, "{made} exchanges");
}

#[tokio::test]
async fn without_the_database_each_server_counts_alone_and_shares_later() {
    let app = App::with_path(&[("RATE_LIMITS", "on"), ("API_KEY_RATE", "60")]);
    let two = app.replica();
    let key = with_key(&app.user().await, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    app.path().cut();
    let (begin, mut admitted) = (Instant::now(), 1);
    let refused = loop {
        let answer = key.get(COINS).await;
        if answer.status != 200 {
            break answer;
        }
        admitted += 1;
        // One a second is earned back.
        assert!(admitted <= 60 + begin.elapsed().as_secs(), "{admitted} of 60");
    };
    refused.assert_problem(429, "too-many-requests");
    assert!(admitted >= 60, "{admitted} of 60");
    key.on(&two.base).get(COINS).await.assert(200);
    app.path().restore();
    eventually("a refusal elsewhere", async || key.on(&two.base).get(COINS).await.status == 429).await;
}

/// Neither a request waits for a database that hangs, nor does one take a connection for each.
#[tokio::test]
async fn a_database_that_hangs_delays_a_request_briefly_and_refuses_none() {
    let app = App::with_path(&[("RATE_LIMITS", "on"), ("API_KEY_RATE", "30")]);
    let key = with_key(&app.user().await, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    app.path().hold();
    let answers = join_all((0..29).map(|_| key.get(COINS))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    app.path().release();
}

#[tokio::test]
async fn the_table_names_whom_it_limits_by_an_hmac_and_is_pruned() {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        key: Vec<u8>,
    }
    let app = App::with(&[("RATE_LIMITS", "on"), ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let body = json!({"email": "ada@example.com", "password": "a wrong password"});
    app.anyone().at("203.0.113.9").post(LOGIN, &body).await.assert(401);
    app.anyone().at("2001:db8::9").post(LOGIN, &body).await.assert(401);
    eventually("three rows", async || app.count("SELECT count(*) FROM rate_limits") == 3).await;
    let rows: Vec<Row> = sql_query("SELECT key FROM rate_limits").load(&mut app.sql()).unwrap();
    for Row { key } in rows {
        assert_eq!(key.len(), 16);
        assert!(
            !key.windows(4)
                .any(|part| [[203, 0, 113, 9], [0x20, 0x01, 0x0d, 0xb8]].contains(&part.try_into().unwrap()))
        );
    }
    app.clock.advance(Duration::from_mins(1));
    let now = app.clock.now();
    assert!(!mintage::limits::prune_requests(&mut app.sql(), now).unwrap());
    assert_eq!(app.count("SELECT count(*) FROM rate_limits"), 0);
}

#[tokio::test]
async fn counted_responses_state_their_limit_and_others_do_not() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let mut user = app.user().await;
    let me = user.get(ME).await.assert(200);
    assert_eq!(me.header("ratelimit-policy"), r#""user";q=300;w=30"#);
    assert!(me.header("ratelimit").starts_with(r#""user";r=29"#), "{}", me.header("ratelimit"));
    let missing = user.get("/api/v1/auth/sessions?limit=0").await;
    assert!(missing.header("ratelimit").starts_with(r#""user";r=29"#), "also with an error");

    let body = json!({"email": user.email, "password": "a wrong password"});
    for (address, remaining) in
        [("203.0.113.9", 99), ("203.0.113.9", 98), ("2001:db8::1", 99), ("2001:db8::2", 98)]
    {
        let wrong =
            app.anyone().at(address).post(LOGIN, &body).await.assert_problem(401, "invalid-credentials");
        assert_eq!(wrong.header("ratelimit-policy"), r#""auth";q=100;w=300"#, "{address}");
        let stated = wrong.header("ratelimit").to_owned();
        assert!(stated.starts_with(&format!(r#""auth";r={remaining};t="#)), "{address}: {stated}");
    }
    let refreshed = user.refresh().await.assert(200);
    assert_eq!(refreshed.header("ratelimit-policy"), r#""refresh";q=120;w=120"#);
    assert!(refreshed.header("ratelimit").starts_with(r#""refresh";r=119;t=1"#));

    for path in ["/healthz", COINS] {
        let uncounted = user.get(path).await.assert(200);
        assert!(!uncounted.headers.contains_key("ratelimit"), "{path}");
    }
    let unlimited = app.replica_with(&[("RATE_LIMITS", "off")]);
    assert!(!user.on(&unlimited.base).get(ME).await.assert(200).headers.contains_key("ratelimit"));
}

/// The limit of an account's wrong passwords would tell a stranger how many others have tried.
#[tokio::test]
async fn a_refused_guess_states_the_limit_of_the_client_only() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    app.register("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": "a wrong password"});
    for _ in 0..20 {
        app.anyone().post(LOGIN, &body).await.assert(401);
    }
    let refused = app.anyone().post(LOGIN, &body).await.assert_problem(429, "too-many-requests");
    assert!(refused.header("ratelimit").starts_with(r#""auth";r=7"#), "{}", refused.header("ratelimit"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 60);
}

#[tokio::test]
async fn a_refused_request_states_that_nothing_is_left_and_when_to_return() {
    let settings =
        [("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "5/1m"), ("CORS_ORIGINS", "https://app.example.com")];
    let app = App::with(&settings);
    let user = app.user().await;
    for remaining in (0..4).rev() {
        let answer = user.get(ME).await.assert(200);
        assert!(answer.header("ratelimit").starts_with(&format!(r#""user";r={remaining};t="#)));
    }
    let from_browser = |request: RequestBuilder| request.header("origin", "https://app.example.com");
    let refused = user.send(Method::GET, ME, from_browser).await.assert_problem(429, "too-many-requests");
    assert_eq!(refused.header("ratelimit-policy"), r#""user";q=5;w=300"#);
    assert!(refused.header("ratelimit").starts_with(r#""user";r=0;t="#), "{}", refused.header("ratelimit"));
    let exposed = refused.header("access-control-expose-headers").to_lowercase();
    for name in ["ratelimit", "ratelimit-policy", "retry-after"] {
        assert!(exposed.split(',').any(|one| one.trim() == name), "{name}: {exposed}");
    }
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    app.clock.advance(Duration::from_secs(wait));
    user.get(ME).await.assert(200);
    user.get(ME).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn settings_change_the_limits() {
    let app = App::with(&[
        ("RATE_LIMITS", "on"),
        ("RATE_LIMIT_AUTH", "7/1h"),
        ("RATE_LIMIT_PASSWORDS_NETWORK", "2/1h"),
        ("RATE_LIMIT_MAILS_PASSWORD_RESET", "1/1h"),
    ]);
    app.register("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": "a wrong password"});
    app.anyone().post(LOGIN, &body).await.assert(401);
    app.anyone().post(LOGIN, &body).await.assert(401);
    let right = json!({"email": "ada@example.com", "password": PASSWORD});
    app.anyone().post(LOGIN, &right).await.assert_problem(429, "too-many-requests");
    let forgot = async || {
        app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": "ada@example.com"})).await
    };
    forgot().await.assert(202);
    forgot().await.assert_problem(429, "too-many-requests");
    forgot().await.assert_problem(429, "too-many-requests");
    let refused = forgot().await.assert_problem(429, "too-many-requests");
    assert!(refused.header("ratelimit").starts_with(r#""auth";r=0"#), "{}", refused.header("ratelimit"));
}
