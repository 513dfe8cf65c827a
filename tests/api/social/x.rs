//! X as a source: searches, counts and the budget.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    eventually,
    market::app,
    noted::until_failed,
    social::{COUNTS, SEARCH, SPENT, broken, coin, market, minutes_ago, source, tweets, x},
    upstream::{Reply, Upstream, fixture},
};

#[tokio::test]
async fn x_is_searched_and_counted_with_the_token_in_a_header() {
    let (market, x_server) =
        (market().await, Upstream::start(vec![fixture(200, "x_search_recent_empty")]).await);
    x_server.say_at(COUNTS, fixture(200, "x_counts_recent"));
    x_server.say_at(SEARCH, tweets(5));
    let app = app(&market, &x(&x_server, "1000000"));
    let bitcoin = coin(&app.user().await, "BTC", |social| social["sample_size"] == 5).await;
    assert_eq!(bitcoin["sources"], json!(["x"]));
    // 8902 posts in 6 hours, as X counts them: 1483.67 an hour.
    assert_eq!(bitcoin["posts_per_hour"], 1480.0, "{bitcoin}");
    eventually("a second reading", async || x_server.count_requests(SEARCH) > 30).await;
    let requests = x_server.requests();
    let searches: Vec<_> =
        requests.iter().filter(|head| head.starts_with(&format!("GET {SEARCH}"))).collect();
    for part in
        ["max_results=100", "tweet.fields=created_at%2Clang%2Cauthor_id", "lang%3Aen", "-is%3Aretweet"]
    {
        assert!(searches[0].contains(part), "{part} in {}", searches[0]);
    }
    assert!(!searches[0].contains("since_id") && searches[25].contains("since_id="), "{}", searches[25]);
    assert!(requests.iter().all(|head| head.contains("authorization: Bearer the-token-of-the-test")));
    assert!(requests.iter().all(|head| !head.lines().next().unwrap().contains("the-token")));
}

#[tokio::test]
async fn the_budget_of_x_holds_across_replicas_and_restarts() {
    let (market, x_server) = (market().await, Upstream::start(vec![tweets(10)]).await);
    x_server.say_at(COUNTS, fixture(200, "x_counts_recent"));
    let settings = x(&x_server, "40");
    let app = app(&market, &settings);
    // Late in the day the whole budget may be used.
    let midnight =
        (app.clock.now() + chrono::TimeDelta::days(1)).date_naive().and_time(chrono::NaiveTime::MIN);
    let left = midnight.and_utc() - app.clock.now() - chrono::TimeDelta::minutes(10);
    app.clock.advance(left.to_std().unwrap_or_default());
    let replica = app.replica();
    eventually("the budget is used", async || x_server.count_requests(SEARCH) == 3).await;
    drop(replica);
    let restarted = app.replica();
    let synced = market.requests().len();
    eventually("more syncs", async || market.requests().len() > synced + 4).await;
    assert_eq!(x_server.count_requests(SEARCH), 3, "3 requests of 11 fit into 40");
    assert_eq!(restarted.count(SPENT), 33);
    app.clock.advance(Duration::from_hours(1));
    eventually("the next day's budget", async || x_server.count_requests(SEARCH) > 3).await;
    assert!(restarted.count(SPENT) <= 40);
}

#[tokio::test]
async fn posts_that_x_did_not_return_are_not_billed() {
    let (market, x_server) =
        (market().await, Upstream::start(vec![fixture(200, "x_search_recent_empty")]).await);
    x_server.say_at(COUNTS, fixture(200, "x_counts_recent_post_fields"));
    let app = app(&market, &x(&x_server, "1000000"));
    eventually("readings", async || x_server.count_requests(SEARCH) > 20).await;
    eventually("a settled account", async || {
        app.count(SPENT) < 40 + i64::try_from(x_server.count_requests(SEARCH)).unwrap()
    })
    .await;
    assert!(app.count(SPENT) >= 20);
}

#[tokio::test]
async fn a_refusal_of_x_stops_requests_until_a_restart() {
    for (status, name) in [(401, "x_error_401"), (402, "x_error_402"), (403, "x_error_403")] {
        let (market, x_server) = (market().await, Upstream::start(vec![fixture(status, name)]).await);
        let app = app(&market, &x(&x_server, "1000000"));
        until_failed(&app, "x", 1).await;
        app.clock.advance(Duration::from_hours(20));
        let synced = market.requests().len();
        eventually("more syncs", async || market.requests().len() > synced + 3).await;
        assert_eq!(x_server.requests().len(), 1, "{name}");
        x_server.say(vec![tweets(3)]);
        x_server.say_at(COUNTS, fixture(200, "x_counts_recent"));
        let restarted = app.replica();
        coin(&restarted.user().await, "BTC", |social| social["sample_size"] == 3).await;
    }
}

#[tokio::test]
async fn a_rate_limit_of_x_is_waited_for() {
    let body = std::fs::read("tests/fixtures/x_error_429.json").unwrap();
    let limited = Reply::Http(429, "x-rate-limit-remaining: 0\r\nretry-after: 600\r\n", body);
    let (market, x_server) = (market().await, Upstream::start(vec![limited]).await);
    let app = app(&market, &x(&x_server, "1000000"));
    until_failed(&app, "x", 1).await;
    app.clock.advance(Duration::from_mins(9));
    let synced = market.requests().len();
    eventually("more syncs", async || market.requests().len() > synced + 3).await;
    assert_eq!(x_server.requests().len(), 1);
    app.clock.advance(Duration::from_mins(2));
    eventually("another question", async || x_server.requests().len() > 1).await;
}

#[tokio::test]
async fn a_coin_without_a_query_is_no_success_of_a_source() {
    let x_server = Upstream::start(vec![Reply::Http(500, "", Vec::new())]).await;
    let market = market().await;
    let queries = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(queries.path(), r#"{"BTC": {}}"#).unwrap();
    let mut settings = x(&x_server, "1000000").to_vec();
    settings.push(("SOCIAL_QUERIES", queries.path().to_str().unwrap()));
    let app = app(&market, &settings);
    let admin = app.admin().await;
    eventually("a failure that is written down", async || source(&admin).await["failures"] == 1).await;
    assert_eq!(source(&admin).await["last_success_at"], Value::Null);
}

#[tokio::test]
async fn one_unreadable_post_of_x_does_not_affect_the_others() {
    let x_server = Upstream::start(vec![fixture(200, "x_search_recent_empty")]).await;
    let post = |id: &str, text: &str| json!({"id": id, "text": text, "lang": "en", "author_id": id, "created_at": minutes_ago(1).to_rfc3339()});
    let body = json!({"data": [post("2", "bitcoin is XXX"), post("1", "bitcoin is fine")], "meta": {"newest_id": "2"}});
    x_server.say_at(SEARCH, broken(&Reply::Http(200, "", body.to_string().into_bytes())));
    x_server.say_at(COUNTS, fixture(200, "x_counts_recent"));
    let market = market().await;
    let app = app(&market, &x(&x_server, "1000000"));
    coin(&app.user().await, "BTC", |social| social["sample_size"] == 1).await;
}

#[tokio::test]
async fn a_request_refused_by_x_is_not_billed_and_the_reading_goes_on() {
    let x_server = Upstream::start(vec![fixture(200, "x_search_recent_empty")]).await;
    x_server.say_at(COUNTS, fixture(200, "x_counts_recent"));
    x_server.say_at("/2/tweets/search/recent?query=%28bitcoin+", fixture(400, "x_error_400"));
    let market = market().await;
    let mut settings = x(&x_server, "1000000").to_vec();
    settings.push(("COINS_SYNC_INTERVAL", "1h"));
    let app = app(&market, &settings);
    let admin = app.admin().await;
    eventually("every coin", async || x_server.count_requests(SEARCH) >= 20).await;
    eventually("a recorded reading", async || source(&admin).await["last_success_at"].is_string()).await;
    let source = source(&admin).await;
    assert_eq!((&source["state"], &source["failures"]), (&"ready".into(), &0.into()), "{source}");
    assert!(source["last_error"].as_str().unwrap().starts_with("bitcoin: HTTP 400"), "{source}");
    assert_eq!(
        usize::try_from(app.count(SPENT)).unwrap(),
        x_server.count_requests(COUNTS),
        "the counts only"
    );
}

#[tokio::test]
async fn failed_x_requests_stay_billed() {
    let x_server = Upstream::start(vec![fixture(503, "x_error_400")]).await;
    x_server.say_at(COUNTS, fixture(200, "x_counts_recent"));
    let market = market().await;
    let app = app(&market, &x(&x_server, "1000000"));
    let admin = app.admin().await;
    eventually("a failure that is written down", async || source(&admin).await["failures"] == 1).await;
    assert_eq!(x_server.count_requests(SEARCH), 3);
    assert_eq!(app.count(SPENT), 3 * 101);
}
