use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use diesel::RunQueryDsl;
use reqwest::Method;
use serde_json::Value;
use tokio::time;

use crate::support::{
    App, Client, begin_minutes, eventually, market, noon,
    noted::{until_failed, until_succeeded},
    upstream::{Reply, Upstream, fixture},
};

const PATH: &str = "/api/v1/coins";
const PROVIDER: &str = "coinmarketcap";

fn app(upstream: &Upstream) -> App {
    App::with(&[
        ("COINS_PROVIDERS", "coinmarketcap,demo"),
        ("COINMARKETCAP_API_KEY", "the-key-of-the-test"),
        ("COINMARKETCAP_URL", &upstream.url),
        ("COINS_SYNC_INTERVAL", "1s"),
    ])
}

fn symbols(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|coin| coin["symbol"].as_str().unwrap()).collect()
}

async fn until(client: &Client, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut body = Value::Null;
    eventually("the wanted answer", async || {
        body = client.get(PATH).await.assert(200).json();
        wanted(&body)
    })
    .await;
    body
}

async fn until_asked(upstream: &Upstream, times: usize) {
    eventually("so many requests", async || upstream.requests().len() >= times).await;
}

#[tokio::test]
async fn without_a_key_the_demonstration_says_so() {
    let app = App::start();
    let user = app.user().await;
    let body = user.get(PATH).await.assert(200).json();
    assert_eq!((&body["source"], &body["currency"]), (&"demo".into(), &"GBP".into()));
    assert_eq!(symbols(&body).len(), 20);
    assert_eq!(body["data"][0]["symbol"], "BTC");
}

#[tokio::test]
async fn coins_are_sorted_filtered_and_cut() {
    let app = App::start();
    let user = app.user().await;
    let list = async |query: &str| user.get(&format!("{PATH}?{query}")).await.assert(200).json();
    assert_eq!(symbols(&list("limit=3").await), ["BTC", "ETH", "USDT"]);
    assert_eq!(symbols(&list("limit=2&order=desc").await), ["SHIB", "HBAR"]);
    assert_eq!(symbols(&list("limit=2&sort=symbol").await), ["ADA", "AVAX"]);
    assert_eq!(symbols(&list("q=bitcoin").await), ["BTC", "BCH"]);
    assert_eq!(symbols(&list("q=sH").await), ["BCH", "SHIB"]);
    assert!(symbols(&list("q=nothing").await).is_empty());
    let prices: Vec<f64> = list("sort=price").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|coin| coin["price"].as_f64().unwrap())
        .collect();
    assert!(prices.is_sorted_by(|a, b| a >= b));
    let changes: Vec<f64> = list("sort=percent_change_24h&order=asc").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|coin| coin["percent_change_24h"].as_f64().unwrap())
        .collect();
    assert!(changes.is_sorted());
    for bad in ["limit=0", "limit=251", "q="] {
        user.get(&format!("{PATH}?{bad}")).await.assert_problem(422, "validation-failed");
    }
    for bad in ["limit=x", "sort=nonsense", "order=up", "page=1"] {
        user.get(&format!("{PATH}?{bad}")).await.assert_problem(400, "malformed-query");
    }
}

#[tokio::test]
async fn one_coin_is_read_by_its_symbol_in_any_case() {
    let app = App::start();
    let user = app.user().await;
    let body = user.get(&format!("{PATH}/btc")).await.assert(200).json();
    assert_eq!((&body["data"]["slug"], &body["source"]), (&"bitcoin".into(), &"demo".into()));
    user.get(&format!("{PATH}/NOPE")).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_sync_reads_the_provider_and_every_field_arrives() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream);
    let user = app.user().await;
    let body = until(&user, |body| body["source"] == "coinmarketcap").await;
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
async fn the_older_shape_is_understood_too() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v1_listings_latest_gbp")]).await;
    let app = app(&upstream);
    let body = until(&app.user().await, |body| body["source"] == "coinmarketcap").await;
    assert_eq!(symbols(&body).len(), 20);
}

#[tokio::test]
async fn a_coin_keeps_its_id_and_history_grows() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream);
    let user = app.user().await;
    let before = user.get(&format!("{PATH}/BTC")).await.assert(200).json();
    until_asked(&upstream, 3).await;
    let after = until(&user, |body| body["source"] == "coinmarketcap").await;
    assert_eq!(after["data"][0]["id"], before["data"]["id"]);
    let snapshots = diesel::sql_query("UPDATE coin_snapshots SET currency = currency");
    assert!(snapshots.execute(&mut app.sql()).unwrap() >= 3);
    let coins = diesel::sql_query("UPDATE coins SET name = name").execute(&mut app.sql()).unwrap();
    assert_eq!(coins, 20);
}

#[tokio::test]
async fn nothing_the_provider_does_reaches_a_client_or_overwrites_good_data() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream);
    let mut user = app.user().await;
    let good = until(&user, |body| body["source"] == "coinmarketcap").await;
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
        let body = user.get(PATH).await.assert(200).json();
        assert_eq!(body["data"], good["data"]);
        upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_succeeded(&app, PROVIDER).await;
    }
}

#[tokio::test]
async fn data_becomes_stale_with_its_age_and_recovers() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream);
    let mut user = app.user().await;
    // The fixture says when it was made, which is long ago for a sync each second.
    let body = until(&user, |body| body["source"] == "coinmarketcap").await;
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() > 3);

    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let soon = text.replacen("2026-11-20T10:00:00.000Z", "2999-01-01T00:00:00.000Z", 1);
    upstream.say(vec![Reply::Http(200, "", soon.into_bytes())]);
    let body = until(&user, |body| body["stale"] == false).await;
    assert!(body.get("age_seconds").is_none());

    upstream.say(vec![fixture(500, "cmc_error_500")]);
    until_failed(&app, PROVIDER, 1).await;
    app.clock.advance(Duration::from_mins(1));
    let body = user.get(PATH).await.assert(200).json();
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() >= 60);
    user.refresh().await.assert(200);
}

#[tokio::test]
async fn data_is_as_stale_as_its_sync_until_the_provider_has_stood_still_for_a_while() {
    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let before = (noon().now() - TimeDelta::minutes(5)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let slow = text.replacen("2026-11-20T10:00:00.000Z", &before, 1).into_bytes();
    let upstream = Upstream::start(vec![Reply::Http(200, "", slow)]).await;
    let app = App::with(&[
        ("COINS_PROVIDERS", "coinmarketcap"),
        ("COINMARKETCAP_API_KEY", "the-key-of-the-test"),
        ("COINMARKETCAP_URL", &upstream.url),
        ("COINS_SYNC_INTERVAL", "1m"),
    ]);
    let mut admin = app.admin().await;
    let body = until(&admin, |body| body["source"] == "coinmarketcap").await;
    assert_eq!((&body["stale"], body.get("age_seconds")), (&false.into(), None), "the sync was just now");
    app.clock.advance(Duration::from_mins(11));
    admin.refresh().await.assert(200);
    // Synced again, but the provider says the same.
    let bitcoin = format!("{PATH}/btc");
    market::until(&admin, &bitcoin, |body| body["history"].as_array().is_some_and(|all| all.len() > 1)).await;
    let body = admin.get(PATH).await.assert(200).json();
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() >= 16 * 60, "{body}");
}

#[tokio::test]
async fn back_off_honours_what_the_provider_says() {
    let upstream = Upstream::start(vec![fixture(429, "cmc_error_429_minute")]).await;
    let app = app(&upstream);
    until_failed(&app, PROVIDER, 1).await;
    time::sleep(Duration::from_secs(3)).await;
    assert_eq!(upstream.requests().len(), 1, "a minute has not passed");
    upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
    app.clock.advance(Duration::from_secs(61));
    until(&app.user().await, |body| body["source"] == "coinmarketcap").await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let body = br#"{"status":{"error_code":1008,"error_message":"slow down"}}"#.to_vec();
    let upstream = Upstream::start(vec![Reply::Http(429, "retry-after: 600\r\n", body)]).await;
    let app = app(&upstream);
    until_failed(&app, PROVIDER, 1).await;
    app.clock.advance(Duration::from_mins(5));
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!(upstream.requests().len(), 1);
    app.clock.advance(Duration::from_secs(301));
    until_asked(&upstream, 2).await;
}

#[tokio::test]
async fn a_refused_key_stops_the_sync_until_a_restart() {
    for name in
        ["cmc_error_401_invalid_key", "cmc_error_402_expired", "cmc_error_403_plan", "cmc_error_429_month"]
    {
        let upstream = Upstream::start(vec![fixture(401, name)]).await;
        let app = app(&upstream);
        until_failed(&app, PROVIDER, 1).await;
        app.clock.advance(Duration::from_hours(23));
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(upstream.requests().len(), 1, "{name}");
        upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
        let restarted = app.replica();
        until(&restarted.user().await, |body| body["source"] == "coinmarketcap").await;
    }
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_hang_clients() {
    let upstream = Upstream::start(vec![Reply::Silence]).await;
    let app = app(&upstream);
    until_asked(&upstream, 1).await;
    let body = app.user().await.get(PATH).await.assert(200).json();
    assert_eq!(body["source"], "demo");
}

#[tokio::test]
async fn another_currency_and_count_are_settings() {
    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let dollars = text.replace("\"GBP\"", "\"USD\"").into_bytes();
    let upstream = Upstream::start(vec![Reply::Http(200, "", dollars)]).await;
    let app = App::with(&[
        ("COINS_PROVIDERS", "coinmarketcap"),
        ("COINMARKETCAP_API_KEY", "key"),
        ("COINMARKETCAP_URL", &upstream.url),
        ("COINS_SYNC_INTERVAL", "1s"),
        ("COINS_CURRENCIES", "usd"),
        ("COINS_COUNT", "5"),
    ]);
    let body = until(&app.user().await, |body| body["source"] == "coinmarketcap").await;
    assert_eq!(body["currency"], "USD");
    assert_eq!(symbols(&body).len(), 5);
    assert!(upstream.requests()[0].contains("convert=USD") && upstream.requests()[0].contains("limit=5"));
}

#[tokio::test]
async fn a_refusal_that_the_provider_did_not_write_passes() {
    let wall = Reply::Http(403, "", b"<html>blocked</html>".to_vec());
    let upstream = Upstream::start(vec![wall]).await;
    let app = app(&upstream);
    until_failed(&app, PROVIDER, 1).await;
    upstream.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
    app.clock.advance(Duration::from_mins(5));
    until(&app.user().await, |body| body["source"] == "coinmarketcap").await;
}

#[tokio::test]
async fn neither_a_part_nor_something_older_replaces_what_is_served() {
    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut part = whole.clone();
    part["data"].as_array_mut().unwrap().truncate(1);
    let mut older = whole.clone();
    older["status"]["timestamp"] = "2020-01-01T00:00:00Z".into();
    older["data"][0]["quote"][0]["price"] = 1.into();
    let of = |body: &Value| Reply::Http(200, "", body.to_string().into_bytes());
    let upstream = Upstream::start(vec![of(&whole)]).await;
    let app = app(&upstream);
    let mut user = app.user().await;
    let good = until(&user, |body| body["source"] == "coinmarketcap").await;
    for bad in [part, older] {
        upstream.say(vec![of(&bad)]);
        until_failed(&app, PROVIDER, 1).await;
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_failed(&app, PROVIDER, 2).await;
        assert_eq!(user.get(PATH).await.assert(200).json()["data"], good["data"]);
        upstream.say(vec![of(&whole)]);
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_succeeded(&app, PROVIDER).await;
    }
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let app = App::start();
    let user = app.user().await;
    // Its age is told by the minute.
    begin_minutes(&app.clock, 1);
    let get = async |path: &str, etag: &str| {
        user.send(Method::GET, path, |request| request.header("if-none-match", etag)).await
    };
    for path in [PATH.to_owned(), format!("{PATH}?limit=3"), format!("{PATH}/btc")] {
        let first = user.get(&path).await.assert(200);
        let etag = first.header("etag").to_owned();
        assert_eq!(first.header("cache-control"), "private, no-cache");
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            let again = get(&path, &tag).await.assert(304);
            assert_eq!((again.header("etag"), again.body.len()), (etag.as_str(), 0));
        }
        get(&path, "\"x\"").await.assert(200);
        get(&path, "nonsense").await.assert(200);
    }
    app.anyone().get(PATH).await.assert(401);
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    let etag = app.user().await.get(PATH).await.header("etag").to_owned();
    get(PATH, &etag).await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn each_coding_holds_the_same_body_under_its_own_tag() {
    let app = App::start();
    let user = app.user().await;
    begin_minutes(&app.clock, 1);
    let get = async |coding: &str| {
        user.send(Method::GET, PATH, |request| request.header("accept-encoding", coding)).await.assert(200)
    };
    let plain = get("identity").await;
    let mut tags = vec![plain.header("etag").to_owned()];
    for coding in ["br", "zstd", "gzip"] {
        let packed = get(coding).await;
        assert_eq!(packed.header("content-encoding"), coding);
        assert_eq!(packed.header("vary"), "accept, accept-encoding");
        tags.push(packed.header("etag").to_owned());
        let mut unpacked = Vec::new();
        match coding {
            "br" => {
                std::io::Read::read_to_end(&mut brotli::Decompressor::new(&*packed.body, 4096), &mut unpacked)
                    .unwrap()
            }
            "zstd" => {
                std::io::Read::read_to_end(&mut zstd::Decoder::new(&*packed.body).unwrap(), &mut unpacked)
                    .unwrap()
            }
            _ => std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed.body), &mut unpacked)
                .unwrap(),
        };
        assert!(packed.body.len() < plain.body.len() / 2, "{coding}");
        assert_eq!(unpacked, plain.body, "{coding}");
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4);
    for none in ["identity;q=1, gzip;q=0.5", "gzip;Q=0", "br; Q=0, identity"] {
        assert!(!get(none).await.headers.contains_key("content-encoding"), "{none}");
    }
}
