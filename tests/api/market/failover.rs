//! Whatever one provider does, the next one's data is served.

use std::{fs, io::Write, time::Duration};

use chrono::{SecondsFormat, TimeDelta};
use serde_json::Value;

use crate::support::{
    market::{COINS, Market, SYNC, fresh, from, ids, provider, until, updated_at},
    noon,
    upstream::{Reply, Upstream, fixture},
};

#[tokio::test]
async fn the_next_provider_takes_over_and_the_first_comes_back() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![fixture(500, "cmc_error_500")]);
    market.coingecko.say(vec![fixture(429, "coingecko_error_429")]);
    let app = market.app("coinmarketcap,coingecko,coinpaprika,demo", &[("COINS_SYNC_INTERVAL", "1s")]);
    let mut user = app.user().await;
    let before = from(&user, "coinpaprika").await;
    assert!(market.coingecko.requests().len() == 1, "429 is not tried again at once");
    let mut admin = app.admin().await;
    let status = admin.get(SYNC).await.assert(200).json();
    let (first, second) = (provider(&status, "coinmarketcap"), provider(&status, "coingecko"));
    assert_eq!((&first["state"], &second["state"]), (&"waiting".into(), &"waiting".into()));
    assert!(first["last_error"].as_str().unwrap().starts_with("error 500"), "{first}");
    assert_eq!(provider(&status, "coinpaprika")["state"], "ready");
    assert!(provider(&status, "coinpaprika")["last_success_at"].is_string());

    market.coinmarketcap.say(vec![fresh("cmc_v3_listings_latest_gbp")]);
    app.clock.advance(Duration::from_mins(31));
    user.refresh().await.assert(200);
    admin.refresh().await.assert(200);
    let after = from(&user, "coinmarketcap").await;
    assert_eq!(ids(&before), ids(&after));
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!(provider(&status, "coinmarketcap")["failures"], 0);
    assert_eq!(provider(&status, "coinmarketcap")["state"], "ready");
}

#[tokio::test]
async fn a_provider_whose_data_stays_the_same_gives_way_to_a_newer_one() {
    let market = Market::start().await;
    // Answered now, with prices of a while ago.
    let before = noon().now() - TimeDelta::minutes(16);
    market.coinmarketcap.say(vec![updated_at(before)]);
    let app = market.app("coinmarketcap,coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    until(&user, COINS, |body| body["source"] == "coingecko" && body["stale"] == false).await;
    // Old data is better than none, but does not replace newer data.
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    let refused = |status: &Value| {
        let error = provider(status, "coinmarketcap")["last_error"].as_str();
        error.is_some_and(|error| error.contains("older"))
    };
    until(&app.admin().await, SYNC, refused).await;
    assert_eq!(user.get(COINS).await.assert(200).json()["source"], "coingecko");
    let alone = market.app("coinmarketcap", &[]);
    let before = before.to_rfc3339_opts(SecondsFormat::Secs, true);
    assert_eq!(from(&alone.user().await, "coinmarketcap").await["as_of"], before);
}

/// Whatever one provider answers, the next one's data is served soon after.
async fn assert_the_next_is_served(timeout: &str, cases: &[(&str, Reply, &str)]) {
    for (case, reply, error) in cases {
        let market = Market::start().await;
        market.coingecko.say(vec![reply.clone()]);
        let app = market.app("coingecko,coinpaprika", &[("UPSTREAM_TIMEOUT", timeout)]);
        let body = from(&app.user().await, "coinpaprika").await;
        assert_eq!(body["data"].as_array().unwrap().len(), 20, "{case}");
        let status = app.admin().await.get(SYNC).await.assert(200).json();
        let found = provider(&status, "coingecko")["last_error"].as_str().unwrap();
        assert!(found.contains(error), "{case}: {found}");
    }
}

fn good() -> String {
    let good = fs::read_to_string("tests/fixtures/coingecko_markets_gbp.json").unwrap();
    good.replace("2026-11-20T", "2999-11-20T")
}

fn of(body: &str) -> Reply {
    Reply::Http(200, "", body.as_bytes().to_vec())
}

#[tokio::test]
async fn a_silent_provider_is_skipped() {
    let cases = [
        ("silence", Reply::Silence, "no answer in time"),
        ("drip", Reply::Drip(vec![b' '; 500]), "no answer in time"),
    ];
    assert_the_next_is_served("5s", &cases).await;
}

#[tokio::test]
async fn a_provider_whose_answer_is_too_large_or_broken_is_skipped() {
    let json = "content-type: application/json\r\n";
    let packed = |bytes: usize| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b' '; bytes]).unwrap();
        packer.finish().unwrap()
    };
    let gzip = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let cases = [
        ("50 MB", Reply::Raw(json, vec![b' '; 50_000_000]), "the body is too large"),
        ("gzip bomb", Reply::Raw(gzip, packed(50_000_000)), "the body is too large"),
        ("not gzip", Reply::Raw(gzip, good().into_bytes()), "the body cannot be read"),
        ("cut JSON", of(good().split_at(good().len() / 2).0), "unexpected body"),
        ("cut body", Reply::Truncated(good().into_bytes()), "the body cannot be read"),
    ];
    assert_the_next_is_served("10s", &cases).await;
}

#[tokio::test]
async fn a_provider_that_sends_something_else_is_skipped() {
    let elsewhere = Upstream::start(vec![of(&good())]).await;
    let redirect: &'static str = format!("location: {}/\r\n", elsewhere.url).leak();
    let cases = [
        ("other type", Reply::Raw("content-type: text/html\r\n", good().into_bytes()), "not JSON"),
        ("no type", Reply::Raw("", good().into_bytes()), "not JSON"),
        ("HTML", of("<!doctype html><title>Just a moment</title>"), "unexpected body"),
        ("redirect", Reply::Http(302, redirect, Vec::new()), "HTTP 302"),
        ("object", of("{}"), "unexpected body"),
        ("deep", of(&"[".repeat(100_000)), "unexpected body"),
        (
            "error in a 200",
            Reply::Http(200, "", b"{\"error\":\"coin not found\"}".to_vec()),
            "coin not found",
        ),
    ];
    assert_the_next_is_served("10s", &cases).await;
    assert!(elsewhere.requests().is_empty(), "no redirect is followed");
}

#[tokio::test]
async fn a_provider_whose_coins_are_impossible_is_skipped() {
    let priced = |price: &str| {
        of(&good().replace("\"current_price\": ", &format!("\"current_price\": {price},\"x\":")))
    };
    let cases = [
        ("empty list", of("[]"), "only 0 of 20"),
        ("NaN", priced("NaN"), "unexpected body"),
        ("infinite", priced("1e999"), "unexpected body"),
        ("huge", priced("1e300"), "only 0 of 20"),
        ("negative", priced("-1"), "only 0 of 20"),
        (
            "one coin 20 times",
            of(&good().replace("\"id\": \"", "\"id\": \"bitcoin\",\"x\":\"")),
            "only 1 of 20",
        ),
    ];
    assert_the_next_is_served("10s", &cases).await;
}
