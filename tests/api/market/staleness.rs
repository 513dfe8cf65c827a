//! `stale` and the age of data.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};

use crate::support::{
    market::{COINS, app, from, until},
    noon,
    noted::until_failed,
    upstream::{Reply, Upstream, fixture},
};

#[tokio::test]
async fn data_becomes_stale_with_its_age_and_recovers() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream, &[]);
    let mut user = app.user().await;
    // The time in the fixture is long ago for a sync each second.
    let body = from(&user, "coinmarketcap").await;
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() > 3);

    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let soon = text.replacen("2026-11-20T10:00:00.000Z", "2999-01-01T00:00:00.000Z", 1);
    upstream.say(vec![Reply::Http(200, "", soon.into_bytes())]);
    let body = until(&user, COINS, |body| body["stale"] == false).await;
    assert!(body.get("age_seconds").is_none());

    upstream.say(vec![fixture(500, "cmc_error_500")]);
    until_failed(&app, "coinmarketcap", 1).await;
    app.clock.advance(Duration::from_mins(1));
    let body = user.get(COINS).await.assert(200).json();
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() >= 60);
    user.refresh().await.assert(200);
}

#[tokio::test]
async fn unchanged_data_becomes_stale_after_a_while() {
    let text = std::fs::read_to_string("tests/fixtures/cmc_v3_listings_latest_gbp.json").unwrap();
    let before = (noon().now() - TimeDelta::minutes(5)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let slow = text.replacen("2026-11-20T10:00:00.000Z", &before, 1).into_bytes();
    let upstream = Upstream::start(vec![Reply::Http(200, "", slow)]).await;
    let app = app(&upstream, &[("COINS_SYNC_INTERVAL", "1m")]);
    let mut admin = app.admin().await;
    let body = from(&admin, "coinmarketcap").await;
    assert_eq!((&body["stale"], body.get("age_seconds")), (&false.into(), None), "the sync was just now");
    app.clock.advance(Duration::from_mins(11));
    admin.refresh().await.assert(200);
    // Synced again, but with the same data.
    let bitcoin = format!("{COINS}/btc");
    until(&admin, &bitcoin, |body| body["history"].as_array().is_some_and(|all| all.len() > 1)).await;
    let body = admin.get(COINS).await.assert(200).json();
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() >= 16 * 60, "{body}");
}
