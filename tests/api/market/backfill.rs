//! The history of coins from before the first sync, which is read from providers.

use std::time::Duration;

use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta, Utc};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Timestamptz},
};
use mintage::clock::Clock;
use serde_json::{Value, json};

use crate::support::{
    App, eventually,
    market::{COINS, Market, changed, from},
    noon,
    points::{insert, points},
    upstream::Reply,
};

const DAYS: [&str; 2] = [
    "/api/v3/coins/bitcoin/market_chart?vs_currency=gbp&days=365",
    "/api/v3/coins/ethereum/market_chart?vs_currency=gbp&days=365",
];
const HOURS: [&str; 2] = [
    "/api/v3/coins/bitcoin/market_chart?vs_currency=gbp&days=90",
    "/api/v3/coins/ethereum/market_chart?vs_currency=gbp&days=90",
];
const DONE: &str = "SELECT count(*) FROM coin_backfills WHERE done_at IS NOT NULL";

/// A chart with a price at the end of each interval until now, which is the number of the interval, counted backwards.
fn chart(now: DateTime<Utc>, length: TimeDelta, count: i32) -> Reply {
    let newest = now.duration_trunc(length).unwrap();
    let column = |factor: f64| -> Vec<Value> {
        (1..=count)
            .rev()
            .map(|number| {
                json!([(newest - length * (number - 1)).timestamp_millis(), f64::from(number) * factor])
            })
            .collect()
    };
    let body = json!({"prices": column(1.0), "market_caps": column(100.0), "total_volumes": column(10.0)});
    Reply::Http(200, "", body.to_string().into_bytes())
}

/// All providers, of which CoinGecko has the past of the first two coins.
async fn with_charts(clock: &Clock) -> Market {
    let market = Market::start().await;
    for (days, hours) in DAYS.into_iter().zip(HOURS) {
        market.coingecko.say_at(days, chart(clock.now(), TimeDelta::days(1), 366));
        market.coingecko.say_at(hours, chart(clock.now(), TimeDelta::hours(1), 90 * 24));
    }
    market
}

/// A server that does not sync, for the database.
fn idle(market: &Market, clock: &Clock) -> App {
    market.app_at(clock.clone(), "demo", &[])
}

/// Another one on its database, which syncs the first two coins every second.
fn syncing(app: &App, settings: &[(&str, &str)]) -> App {
    let mut all = vec![
        ("COINS_PROVIDERS", "coingecko"),
        ("COINS_SYNC_INTERVAL", "1s"),
        ("COINS_COUNT", "2"),
        ("COINS_BACKFILL", "on"),
    ];
    all.extend(settings);
    app.replica_with(&all)
}

fn charts(market: &Market) -> usize {
    market.coingecko.count_requests("/api/v3/coins/") - lists(market)
}

fn lists(market: &Market) -> usize {
    market.coingecko.count_requests("/api/v3/coins/markets")
}

/// Waits for three more slots.
async fn slots(market: &Market) {
    let before = lists(market);
    eventually("more slots", async || lists(market) >= before + 3).await;
}

/// Waits until so many histories are read, while the time passes.
async fn until_done(app: &App, count: i64) {
    eventually("the histories", async || {
        app.clock.advance(Duration::from_secs(3));
        app.count(DONE) >= count
    })
    .await;
}

fn in_utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[tokio::test]
async fn a_new_coin_gets_a_year_of_history_slowly() {
    let clock = noon();
    let market = with_charts(&clock).await;
    let app = idle(&market, &clock);
    let server = syncing(&app, &[]);
    until_done(&app, 4).await;
    let too_soon = "SELECT count(*) FROM (SELECT done_at - lag(done_at) OVER (ORDER BY done_at) AS wait         FROM coin_backfills) waits WHERE wait < interval '10 seconds'";
    assert_eq!(app.count(too_soon), 0, "one every ten seconds");
    let user = server.user().await;
    let now = app.clock.now();
    let read = async |query: &str| {
        let path = format!("{COINS}/btc/history?{query}");
        user.get(&path).await.assert(200).json()
    };
    let body = read(&format!("interval=1d&from={}", in_utc(now - TimeDelta::days(365)))).await;
    let days = points(&body);
    assert!(days.len() >= 365, "{}", days.len());
    // Yesterday ended with the newest price of the chart, today is measured.
    let (yesterday, today) = (&days[days.len() - 2], &days[days.len() - 1]);
    assert_eq!(yesterday["at"], in_utc(now.duration_trunc(TimeDelta::days(1)).unwrap() - TimeDelta::days(1)));
    let prices = ["open", "high", "low", "close"].map(|name| yesterday[name].clone());
    assert_eq!(json!(prices), json!(vec![1.0; 4]));
    assert_eq!((&yesterday["volume_24h"], &yesterday["market_cap"]), (&json!(10.0), &json!(100.0)));
    assert_eq!((&yesterday["samples"], &yesterday["sources"]), (&json!(0), &json!(["coingecko"])));
    assert_eq!((&today["close"], &days[days.len() - 3]["close"]), (&json!(70211.4421), &json!(2.0)));
    assert!(body["attributions"][0]["attribution"].as_str().unwrap().contains("CoinGecko"), "{body}");
    let body = read(&format!("interval=1h&from={}", in_utc(now - TimeDelta::days(30)))).await;
    assert!(points(&body).len() >= 720, "{}", points(&body).len());
    let body = read("interval=1w").await;
    assert!(points(&body).len() >= 52, "{}", points(&body).len());
    let list = user.get(&format!("{COINS}?sparkline=true")).await.assert(200).json();
    assert!(list["data"][0]["sparkline_7d"].as_array().unwrap().len() >= 167, "{list}");
    let drawn = user.get(&format!("{COINS}/btc/chart.svg?range=1y")).await.assert(200).text();
    assert!(!drawn.contains("No data yet"));
    let count = charts(&market);
    app.clock.advance(Duration::from_mins(10));
    slots(&market).await;
    assert_eq!((count, charts(&market)), (4, 4), "nothing is read twice");
}

#[tokio::test]
async fn another_replica_continues_where_one_stopped() {
    let clock = noon();
    let market = with_charts(&clock).await;
    let app = idle(&market, &clock);
    let first = syncing(&app, &[]);
    eventually("the first history", async || app.count(DONE) == 1).await;
    drop(first);
    let others = [syncing(&app, &[]), syncing(&app, &[])];
    until_done(&app, 4).await;
    drop(others);
    for path in DAYS.into_iter().chain(HOURS) {
        assert_eq!(market.coingecko.count_requests(path), 1, "{path}");
    }
}

#[tokio::test]
async fn measured_points_are_not_overwritten() {
    let clock = noon();
    let market = with_charts(&clock).await;
    let app = idle(&market, &clock);
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    let now = app.clock.now();
    let day = now.duration_trunc(TimeDelta::days(1)).unwrap() - TimeDelta::days(10);
    sql_query(
        "INSERT INTO coin_history (coin_id, currency, step_seconds, at, open, high, low, close, samples, \
             volume_24h_samples, market_cap_samples, sentiment_samples, popularity_samples) \
         VALUES ($1, 'GBP', 86400, $2, 5, 6, 4, 5.5, 288, 0, 0, 0, 0)",
    )
    .bind::<BigInt, _>(bitcoin)
    .bind::<Timestamptz, _>(day)
    .execute(&mut app.sql())
    .unwrap();
    let measured = now - TimeDelta::hours(3);
    insert(&app, bitcoin, measured, 4321.0, None);
    let server = syncing(&app, &[]);
    until_done(&app, 4).await;
    let user = server.user().await;
    let read = async |interval: &str, at: DateTime<Utc>| {
        let path = format!("{COINS}/btc/history?interval={interval}&from={}", in_utc(at));
        points(&user.get(&path).await.assert(200).json())[0].clone()
    };
    let found = read("1d", day).await;
    assert_eq!((&found["high"], &found["samples"]), (&json!(6.0), &json!(288)), "{found}");
    assert_eq!(read("1d", day - TimeDelta::days(1)).await["samples"], 0);
    let hour = measured.duration_trunc(TimeDelta::hours(1)).unwrap();
    let hours = "SELECT count(*) FROM coin_rollups WHERE step_seconds = 3600";
    eventually("the roll-up", async || app.count(hours) == 1).await;
    let found = read("1h", hour).await;
    assert_eq!((&found["close"], &found["samples"]), (&json!(4321.0), &json!(1)), "{found}");
}

#[tokio::test]
async fn a_rate_limit_delays_histories_and_no_slot() {
    let clock = noon();
    let market = with_charts(&clock).await;
    market
        .coingecko
        .say_at("/api/v3/coins/bitcoin/", Reply::Http(429, "retry-after: 300\r\n", b"{}".to_vec()));
    let app = idle(&market, &clock);
    let server = syncing(&app, &[]);
    eventually("the first try", async || charts(&market) == 1).await;
    app.clock.advance(Duration::from_secs(200));
    slots(&market).await;
    assert_eq!(charts(&market), 1);
    let list = from(&server.user().await, "coingecko").await;
    assert_eq!(list["stale"], false);
    for (days, hours) in DAYS.into_iter().zip(HOURS) {
        market.coingecko.say_at(days, chart(clock.now(), TimeDelta::days(1), 366));
        market.coingecko.say_at(hours, chart(clock.now(), TimeDelta::hours(1), 90 * 24));
    }
    app.clock.advance(Duration::from_secs(101));
    until_done(&app, 4).await;
    assert_eq!(
        app.count("SELECT count(*) FROM coin_backfills WHERE attempts > 1"),
        0,
        "a limit is no failed try"
    );
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_given_up_and_the_others_are_read() {
    let clock = noon();
    let market = with_charts(&clock).await;
    market.coingecko.say_at(DAYS[0], Reply::Http(404, "", br#"{"error":"coin not found"}"#.to_vec()));
    market.coingecko.say_at(HOURS[0], Reply::Http(200, "", br#"{"prices":[["x", 1]]}"#.to_vec()));
    let app = idle(&market, &clock);
    let _server = syncing(&app, &[]);
    until_done(&app, 2).await;
    let given_up = "SELECT count(*) FROM coin_backfills WHERE attempts = 8 AND done_at IS NULL";
    eventually("all tries", async || {
        app.clock.advance(Duration::from_mins(30));
        app.count(given_up) == 2
    })
    .await;
    app.clock.advance(Duration::from_hours(48));
    slots(&market).await;
    assert_eq!(market.coingecko.count_requests(DAYS[0]), 8);
    assert_eq!(market.coingecko.count_requests(HOURS[0]), 8);
    assert_eq!(app.count(DONE), 2);
}

#[tokio::test]
async fn the_past_is_read_only_on_wish_and_with_calls_that_slots_do_not_need() {
    let clock = noon();
    let market = with_charts(&clock).await;
    let app = idle(&market, &clock);
    for settings in [("COINS_BACKFILL", "off"), ("COINGECKO_DAILY_CALLS", "1000")] {
        let server = syncing(&app, &[settings]);
        slots(&market).await;
        assert_eq!(charts(&market), 0, "{settings:?}");
        drop(server);
    }
}

#[tokio::test]
async fn coinpaprika_has_the_past_in_dollars() {
    let clock = noon();
    let market = Market::start().await;
    market.coinpaprika.say(vec![changed("coinpaprika_tickers_gbp", |coins| {
        for coin in coins.as_array_mut().unwrap() {
            let quote = coin["quotes"]["GBP"].take();
            coin["quotes"] = json!({"USD": quote});
        }
    })]);
    let midnight = clock.now().duration_trunc(TimeDelta::days(1)).unwrap();
    let ticks: Vec<_> = (0..365)
        .map(|days| {
            let at = in_utc(midnight - TimeDelta::days(days));
            json!({"timestamp": at, "price": days + 1, "volume_24h": 7, "market_cap": 9})
        })
        .collect();
    market.coinpaprika.say_at(
        "/v1/tickers/btc-bitcoin/historical?",
        Reply::Http(200, "", json!(ticks).to_string().into_bytes()),
    );
    let app = idle(&market, &clock);
    let settings = [("COINS_PROVIDERS", "coinpaprika"), ("COINS_CURRENCIES", "USD"), ("COINS_COUNT", "1")];
    let server = syncing(&app, &settings);
    until_done(&app, 1).await;
    let start = (clock.now() - TimeDelta::days(364)).date_naive();
    let request = market.coinpaprika.requests().into_iter().find(|one| one.contains("/historical")).unwrap();
    assert!(request.contains(&format!("start={start}&interval=1d&limit=400&quote=usd")), "{request}");
    let user = server.user().await;
    let path = format!("{COINS}/btc/history?interval=1d&from={}", in_utc(midnight - TimeDelta::days(364)));
    let body = user.get(&path).await.assert(200).json();
    assert_eq!(points(&body).len(), 365, "364 of the past, and today");
    assert_eq!(
        (&points(&body)[0]["sources"], &points(&body)[0]["volume_24h"]),
        (&json!(["coinpaprika"]), &json!(7.0))
    );
}
