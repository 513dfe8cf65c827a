//! CoinMarketCap as a provider: its answers and refusals, and when it is called again.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    eventually,
    market::{COINS, app, from, until_slots},
    noted::{until_failed, until_succeeded},
    upstream::{Reply, Upstream, fixture},
};

const PROVIDER: &str = "coinmarketcap";

fn symbols(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|coin| coin["symbol"].as_str().unwrap()).collect()
}

async fn until_requested(upstream: &Upstream, times: usize) {
    eventually("so many requests", async || upstream.requests().len() >= times).await;
}

#[tokio::test]
async fn a_sync_reads_the_provider_and_every_field_arrives() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream, &[]);
    let user = app.user().await;
    let body = from(&user, PROVIDER).await;
    assert_eq!(body["currency"], "GBP");
    let bitcoin = &body["data"][0];
    for (name, value) in [
        ("symbol", Value::from("BTC")),
        ("name", "Bitcoin".into()),
        ("slug", "bitcoin".into()),
        ("rank", 1.into()),
        ("price", 70211.4421.into()),
        ("volume_24h", 112_536_391_040.630_81.into()),
        ("volume_change_24h", (-37.9991).into()),
        ("percent_change_1h", (-0.674_912_04).into()),
        ("percent_change_24h", (-3.875_049_67).into()),
        ("percent_change_7d", 7.094_136_42.into()),
        ("market_cap", 1_400_804_910_814.551_5.into()),
    ] {
        assert_eq!(bitcoin[name], value, "{name}");
        if !["symbol", "name", "slug", "rank"].contains(&name) {
            assert_eq!(bitcoin["quote"][name], value, "quote.{name}");
        }
    }
    assert_eq!(bitcoin["updated_at"], "2026-11-20T09:59:12Z");
    assert_eq!(bitcoin["quote"]["currency"], "GBP");
    let request = &upstream.requests()[0];
    let (line, _) = request.split_once("\r\n").unwrap();
    assert!(line.starts_with("GET /v3/cryptocurrency/listings/latest?"), "{line}");
    for part in ["start=1", "limit=20", "convert=GBP", "sort=market_cap"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("the-key-of-the-test"), "the key must not be in the URL");
    assert!(request.to_lowercase().contains("x-cmc_pro_api_key: the-key-of-the-test"));
}

#[tokio::test]
async fn the_older_response_format_is_understood() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v1_listings_latest_gbp")]).await;
    let app = app(&upstream, &[]);
    let body = from(&app.user().await, PROVIDER).await;
    assert_eq!(symbols(&body).len(), 20);
    assert_eq!(body["data"][0]["updated_at"], "2026-11-20T09:59:12Z");
}

#[tokio::test]
async fn failures_of_the_provider_neither_reach_clients_nor_overwrite_good_data() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream, &[]);
    let mut user = app.user().await;
    let good = from(&user, PROVIDER).await;
    let html = Reply::Http(200, "", b"<html>hello</html>".to_vec());
    let empty = Reply::Http(200, "", br#"{"status":{"error_code":0},"data":[]}"#.to_vec());
    let redirect = Reply::Http(302, "location: http://127.0.0.1:1/\r\n", Vec::new());
    let truncated = Reply::Truncated(br#"{"status":{"#.to_vec());
    for reply in [
        fixture(400, "cmc_error_400"),
        fixture(500, "cmc_error_500"),
        fixture(200, "cmc_error_500"),
        html,
        empty,
        redirect,
        truncated,
        Reply::Http(503, "", Vec::new()),
    ] {
        upstream.say(vec![reply]);
        until_failed(&app, PROVIDER, 1).await;
        let body = user.get(COINS).await.assert(200).json();
        assert_eq!(body["data"], good["data"]);
        upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_succeeded(&app, PROVIDER).await;
    }
}

#[tokio::test]
async fn back_off_honours_the_error_code_of_the_provider() {
    let upstream = Upstream::start(vec![fixture(429, "cmc_error_429_minute")]).await;
    let app = app(&upstream, &[]);
    until_failed(&app, PROVIDER, 1).await;
    until_slots(app.database(), app.clock.now(), 2).await;
    assert_eq!(upstream.requests().len(), 1, "a minute has not passed");
    upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
    app.clock.advance(Duration::from_secs(61));
    from(&app.user().await, PROVIDER).await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let body = br#"{"status":{"error_code":1008,"error_message":"slow down"}}"#.to_vec();
    let upstream = Upstream::start(vec![Reply::Http(429, "retry-after: 600\r\n", body)]).await;
    let app = app(&upstream, &[]);
    until_failed(&app, PROVIDER, 1).await;
    app.clock.advance(Duration::from_mins(5));
    until_slots(app.database(), app.clock.now(), 2).await;
    assert_eq!(upstream.requests().len(), 1);
    app.clock.advance(Duration::from_secs(301));
    until_requested(&upstream, 2).await;
}

#[tokio::test]
async fn a_refused_key_stops_the_sync_until_a_restart() {
    for name in
        ["cmc_error_401_invalid_key", "cmc_error_402_expired", "cmc_error_403_plan", "cmc_error_429_month"]
    {
        let upstream = Upstream::start(vec![fixture(401, name)]).await;
        let app = app(&upstream, &[]);
        until_failed(&app, PROVIDER, 1).await;
        app.clock.advance(Duration::from_hours(23));
        until_slots(app.database(), app.clock.now(), 2).await;
        assert_eq!(upstream.requests().len(), 1, "{name}");
        upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
        let restarted = app.replica();
        from(&restarted.user().await, PROVIDER).await;
    }
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_hang_clients() {
    let upstream = Upstream::start(vec![Reply::Silence]).await;
    let app = app(&upstream, &[]);
    until_requested(&upstream, 1).await;
    let body = app.user().await.get(COINS).await.assert(200).json();
    assert_eq!(body["source"], "demo");
}

#[tokio::test]
async fn another_currency_and_count_are_settings() {
    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let dollars = text.replace("\"GBP\"", "\"USD\"").into_bytes();
    let upstream = Upstream::start(vec![Reply::Http(200, "", dollars)]).await;
    let app = app(&upstream, &[("COINS_CURRENCIES", "usd"), ("COINS_COUNT", "5")]);
    let body = from(&app.user().await, PROVIDER).await;
    assert_eq!(body["currency"], "USD");
    assert_eq!(symbols(&body).len(), 5);
    assert!(upstream.requests()[0].contains("convert=USD") && upstream.requests()[0].contains("limit=5"));
}

#[tokio::test]
async fn a_refusal_by_something_before_the_provider_is_temporary() {
    let wall = Reply::Http(403, "", b"<html>blocked</html>".to_vec());
    let upstream = Upstream::start(vec![wall]).await;
    let app = app(&upstream, &[]);
    until_failed(&app, PROVIDER, 1).await;
    upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
    app.clock.advance(Duration::from_mins(5));
    from(&app.user().await, PROVIDER).await;
}

#[tokio::test]
async fn partial_or_older_data_does_not_replace_what_is_served() {
    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut part = whole.clone();
    part["data"].as_array_mut().unwrap().truncate(1);
    let mut older = whole.clone();
    for coin in older["data"].as_array_mut().unwrap() {
        coin["quote"][0]["last_updated"] = "2020-01-01T00:00:00Z".into();
    }
    older["data"][0]["quote"][0]["price"] = 1.into();
    let of = |body: &Value| Reply::Http(200, "", body.to_string().into_bytes());
    let upstream = Upstream::start(vec![of(&whole)]).await;
    let app = app(&upstream, &[]);
    let mut user = app.user().await;
    let good = from(&user, PROVIDER).await;
    for bad in [part, older] {
        upstream.say(vec![of(&bad)]);
        until_failed(&app, PROVIDER, 1).await;
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_failed(&app, PROVIDER, 2).await;
        assert_eq!(user.get(COINS).await.assert(200).json()["data"], good["data"]);
        upstream.say(vec![of(&whole)]);
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_succeeded(&app, PROVIDER).await;
    }
}
