//! `stale` and the age of data.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::support::{
    App, Client, eventually,
    market::{COINS, Market, app, changed, fresh, from, until, updated_at},
    noon,
    noted::until_failed,
    points::points,
    upstream::{Upstream, fixture},
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

    upstream.say(vec![fresh("cmc_v3_listings_latest_gbp")]);
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
async fn a_response_says_when_to_ask_again() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[("COINS_SYNC_INTERVAL", "1h")]);
    let mut user = app.user().await;
    let next = async |user: &Client| -> DateTime<Utc> {
        let body = user.get(COINS).await.assert(200).json();
        body["next_update_at"].as_str().unwrap().parse().unwrap()
    };
    from(&user, "coingecko").await;
    let first = next(&user).await;
    let wait = first - app.clock.now();
    assert!(wait > TimeDelta::zero() && wait <= TimeDelta::hours(1), "{wait}");
    assert_eq!(first.timestamp() % 3600, 10, "10 seconds after the start of a sync");
    market.coingecko.say(vec![fixture(500, "coingecko_error_429")]);
    app.clock.advance(Duration::from_hours(1));
    user.refresh().await.assert(200);
    assert_eq!(next(&user).await, first + TimeDelta::hours(1), "the sync failed, so it is the one after");
    let body = App::start().user().await.get(COINS).await.json();
    assert_eq!(body["next_update_at"], Value::Null, "no provider is configured");
}

#[tokio::test]
async fn unchanged_data_becomes_stale_after_a_while() {
    let before = noon().now() - TimeDelta::minutes(5);
    let upstream = Upstream::start(vec![updated_at(before)]).await;
    let app = app(&upstream, &[("COINS_SYNC_INTERVAL", "1m")]);
    let mut admin = app.admin().await;
    let body = from(&admin, "coinmarketcap").await;
    assert_eq!((&body["stale"], body.get("age_seconds")), (&false.into(), None), "the sync was just now");
    app.clock.advance(Duration::from_mins(11));
    admin.refresh().await.assert(200);
    // Synced again, but with the same data, which adds no point to the history.
    eventually("another sync", async || {
        app.count("SELECT count(*) FROM coin_snapshots WHERE provider <> 'demo'") > 1
    })
    .await;
    for path in ["btc", "btc/history?interval=5m"] {
        let body = admin.get(&format!("{COINS}/{path}")).await.assert(200).json();
        let points = body["history"].as_array().unwrap_or_else(|| points(&body));
        assert_eq!(points.len(), 1, "{body}");
        let at: DateTime<Utc> = points[0]["at"].as_str().unwrap().parse().unwrap();
        assert!((TimeDelta::zero()..TimeDelta::minutes(5)).contains(&(before - at)), "{at}, {before}");
        assert_eq!(points[0]["samples"], 1);
    }
    let body = admin.get(COINS).await.assert(200).json();
    assert_eq!(body["stale"], true);
    assert!(body["age_seconds"].as_i64().unwrap() >= 16 * 60, "{body}");
}

#[tokio::test]
async fn the_time_of_the_data_is_that_of_its_prices_and_not_of_the_answer() {
    let market = Market::start().await;
    let five_hours_ago = noon().now() - TimeDelta::hours(5);
    let text = five_hours_ago.to_rfc3339_opts(SecondsFormat::Secs, true);
    market.coinmarketcap.say(vec![updated_at(five_hours_ago)]);
    // All but the first of the others, so that it is not the newest coin that decides.
    let all_but_one = |name| {
        changed(name, |coins| {
            for coin in &mut coins.as_array_mut().unwrap()[1..] {
                coin["last_updated"] = text.clone().into();
            }
        })
    };
    market.coingecko.say(vec![all_but_one("coingecko_markets_gbp")]);
    market.coinpaprika.say(vec![all_but_one("coinpaprika_tickers_gbp")]);
    for name in ["coinmarketcap", "coingecko", "coinpaprika"] {
        let app = market.app(name, &[("COINS_SYNC_INTERVAL", "5m")]);
        let user = app.user().await;
        let body = from(&user, name).await;
        assert_eq!((&body["as_of"], &body["stale"]), (&text.clone().into(), &true.into()), "{name}");
        assert_eq!(body["data"][1]["updated_at"], text, "{name}");
        assert_ne!(body["data"][0]["updated_at"] == text, name != "coinmarketcap", "{name}");
        let sparse =
            user.get(&format!("{COINS}/sparse?fields=updated_at&symbols=eth")).await.assert(200).json();
        assert_eq!(sparse["data"][0]["updated_at"], text, "{name}");
        let table = user.get(&format!("{COINS}.csv?fields=updated_at&symbols=eth")).await.assert(200).text();
        assert!(table.starts_with("id,symbol,updated_at,") && table.contains(&text), "{table}");
    }
}
