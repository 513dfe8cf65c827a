//! Currencies, changes from our own history, and roll-ups.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    Connection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Double, Timestamptz},
};
use mintage::coins::{Point, Step, history};
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    App, eventually,
    market::{COINS, Market, SYNC, changed, fresh, from, until},
    points::insert,
    upstream::{Reply, fixture},
};

const PRICES: &str = "/api/v3/simple/price";

fn rates(usd: f64, eur: f64) -> Reply {
    let body = serde_json::json!({"bitcoin": {"gbp": 100, "usd": 100.0 * usd, "eur": 100.0 * eur}});
    Reply::Http(200, "", body.to_string().into_bytes())
}

fn close(found: &Value, expected: f64) -> bool {
    found.as_f64().is_some_and(|found| (found - expected).abs() <= 1e-9 * expected.abs())
}

fn with_currencies(market: &Market) -> App {
    market.coingecko.say_at(PRICES, rates(1.25, 1.2));
    market.app("coingecko", &[("COINS_CURRENCIES", "gbp,USD,EUR")])
}

#[tokio::test]
async fn amounts_come_in_every_configured_currency() {
    let market = Market::start().await;
    let app = with_currencies(&market);
    let user = app.user().await;
    let pounds = from(&user, "coingecko").await;
    let dollars = user.get(&format!("{COINS}?currency=usd")).await.assert(200);
    let etag = dollars.header("etag").to_owned();
    let dollars = dollars.json();
    assert_eq!((&pounds["currency"], &dollars["currency"]), (&"GBP".into(), &"USD".into()));
    for (pound, dollar) in pounds["data"].as_array().unwrap().iter().zip(dollars["data"].as_array().unwrap())
    {
        for amount in ["price", "volume_24h", "market_cap"] {
            assert!(close(&dollar[amount], pound[amount].as_f64().unwrap() * 1.25), "{amount} of {dollar}");
        }
        assert_eq!(pound["id"], dollar["id"]);
        assert_eq!(dollar["percent_change_24h"], Value::Null, "how the dollar has moved is not known yet");
        assert!(pound["percent_change_24h"].is_number());
    }
    let path = format!("{COINS}?currency=USD");
    let again = user.send(Method::GET, &path, |request| request.header("if-none-match", &etag)).await;
    again.assert(304);
    let packed = user.send(Method::GET, &path, |request| request.header("accept-encoding", "br")).await;
    assert_eq!(packed.assert(200).header("content-encoding"), "br");
    let euros = user.get(&format!("{COINS}?currency=EUR&limit=1")).await.assert(200).json();
    assert!(close(&euros["data"][0]["price"], 70211.4421 * 1.2));
    let one = user.get(&format!("{COINS}/btc?currency=EUR")).await.assert(200).json();
    assert_eq!(one["data"], euros["data"][0]);
    for path in [COINS.to_owned(), format!("{COINS}/BTC")] {
        for wrong in ["JPY", "", "GBP,USD", "%F0%9F%92%B7"] {
            user.get(&format!("{path}?currency={wrong}")).await.assert_invalid("/currency", "currency");
        }
    }
}

#[tokio::test]
async fn rates_are_read_once_an_hour_and_their_changes_convert_the_changes() {
    let market = Market::start().await;
    let app = with_currencies(&market);
    let mut admin = app.admin().await;
    from(&admin, "coingecko").await;
    assert_eq!(market.coingecko.asked(PRICES), 1);
    let run = async |admin: &mut crate::support::Client, asked: usize| {
        admin.refresh().await.assert(200);
        admin.post_empty(SYNC).await.assert(202);
        eventually("the run", async || market.coingecko.asked("/api/v3/coins/markets") == asked).await;
        until(admin, SYNC, |status| status["slots"][0]["state"] == "done").await;
    };
    app.clock.advance(Duration::from_mins(30));
    run(&mut admin, 2).await;
    assert_eq!(market.coingecko.asked(PRICES), 1);
    market.coingecko.say_at(PRICES, rates(1.3, 1.2));
    app.clock.advance(Duration::from_mins(40));
    run(&mut admin, 3).await;
    assert_eq!(market.coingecko.asked(PRICES), 2);
    let dollar = until(&admin, &format!("{COINS}/BTC?currency=USD"), |body| {
        body["data"]["percent_change_1h"].is_number()
    })
    .await;
    let change = ((1.0 - 0.674_912_04 / 100.0) * (1.3 / 1.25) - 1.0) * 100.0;
    assert!(close(&dollar["data"]["percent_change_1h"], change), "{dollar}");
    assert_eq!(dollar["data"]["percent_change_24h"], Value::Null);

    // No new rates: the last ones serve for a day, one that jumps does not count.
    market.coingecko.say_at(PRICES, rates(9.0, 1.2));
    app.clock.advance(Duration::from_mins(61));
    run(&mut admin, 4).await;
    let dollar = admin.get(&format!("{COINS}/BTC?currency=USD")).await.assert(200).json();
    assert!(close(&dollar["data"]["price"], 70211.4421 * 1.3), "{dollar}");
}

#[tokio::test]
async fn every_provider_tells_the_rates() {
    let dollars = |name| {
        changed(name, |body| {
            for coin in body["data"].as_array_mut().unwrap() {
                coin["quote"][0]["symbol"] = "USD".into();
                coin["quote"][0]["price"] = (coin["quote"][0]["price"].as_f64().unwrap() * 1.25).into();
            }
        })
    };
    let market = Market::start().await;
    market
        .coinmarketcap
        .say(vec![fresh("cmc_v3_listings_latest_gbp"), dollars("cmc_v3_listings_latest_gbp")]);
    market.coinpaprika.say_at(
        "/v1/tickers/btc-bitcoin",
        Reply::Http(
            200,
            "",
            br#"{"id":"btc-bitcoin",
        "symbol":"BTC","name":"Bitcoin","quotes":{"GBP":{"price":4},"USD":{"price":5}}}"#
                .to_vec(),
        ),
    );
    for name in ["coinmarketcap", "coinpaprika"] {
        let app = market.app(name, &[("COINS_CURRENCIES", "GBP,USD")]);
        let user = app.user().await;
        from(&user, name).await;
        let body = user.get(&format!("{COINS}?currency=USD")).await.assert(200).json();
        assert_eq!(body["source"], name);
        assert!(close(&body["data"][0]["price"], 70211.4421 * 1.25), "{name}: {}", body["data"][0]);
    }
    assert!(market.coinmarketcap.requests()[1].contains("convert=USD"));
}

#[tokio::test]
async fn a_currency_that_the_provider_does_not_have_costs_neither_the_others_nor_more_credits() {
    let listings = |currency| {
        let path = format!("/v3/cryptocurrency/listings/latest?start=1&limit=20&convert={currency}");
        &*path.leak()
    };
    let market = Market::start().await;
    market.coinmarketcap.say_at(listings("XYZ"), fixture(400, "cmc_error_400"));
    let dollars = changed("cmc_v3_listings_latest_gbp", |body| {
        for coin in body["data"].as_array_mut().unwrap() {
            coin["quote"][0]["symbol"] = "USD".into();
        }
    });
    market.coinmarketcap.say_at(listings("USD"), dollars);
    let app = market.app("coinmarketcap", &[("COINS_CURRENCIES", "GBP,XYZ,USD")]);
    let admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    admin.get(&format!("{COINS}?currency=USD")).await.assert(200);
    app.clock.advance(Duration::from_mins(5));
    admin.post_empty(SYNC).await.assert(202);
    eventually("the run", async || market.coinmarketcap.asked(listings("GBP")) == 2).await;
    let status = until(&admin, SYNC, |status| status["slots"][0]["state"] == "done").await;
    let asked = ["XYZ", "USD"].map(|currency| market.coinmarketcap.asked(listings(currency)));
    assert_eq!(asked, [1, 1], "once an hour");
    assert_eq!(status["providers"][0]["used_today"], 4);
}

#[tokio::test]
async fn the_demonstration_comes_in_other_currencies_and_what_cannot_be_told_is_a_503() {
    let app = App::with(&[("COINS_CURRENCIES", "GBP,USD,XTS")]);
    let user = app.user().await;
    let body = user.get(&format!("{COINS}?currency=USD")).await.assert(200).json();
    assert_eq!((&body["source"], &body["currency"]), (&"demo".into(), &"USD".into()));
    user.get(&format!("{COINS}?currency=XTS")).await.assert_problem(503, "unavailable");
    let app = App::with(&[("COINS_CURRENCIES", "XTS")]);
    let user = app.user().await;
    assert_eq!(user.get(COINS).await.assert(200).json()["currency"], "GBP");
    user.get(&format!("{COINS}?currency=XTS")).await.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn a_volume_change_that_the_provider_lacks_comes_from_our_own_history() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    from(&app.user().await, "coingecko").await;
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        for coin in coins.as_array_mut().unwrap() {
            coin["total_volume"] = (coin["total_volume"].as_f64().unwrap() * 0.5).into();
        }
    })]);
    app.clock.advance(Duration::from_hours(24));
    let body = until(&app.user().await, COINS, |body| body["data"][0]["volume_change_24h"].is_number()).await;
    for coin in body["data"].as_array().unwrap() {
        assert!(close(&coin["volume_change_24h"], -50.0), "{coin}");
    }
}

/// A snapshot of the first coin each 5 minutes from `start`, with a dollar that moves.
fn remember(app: &App, start: DateTime<Utc>, prices: &[f64]) -> i64 {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let mut conn = app.sql();
    let coin = sql_query("SELECT min(id) AS id FROM coins").get_result::<Id>(&mut conn).unwrap().id;
    conn.transaction(|conn| {
        for (number, price) in (0..).zip(prices) {
            sql_query(
                "WITH s AS (INSERT INTO coin_snapshots (provider, currency, as_of, fetched_at) \
                     VALUES ('coingecko', 'GBP', $1, $1) RETURNING id), \
                 r AS (INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at) \
                     SELECT id, 'GBP', 1, $1 FROM s UNION ALL SELECT id, 'USD', $4, $1 FROM s) \
                 INSERT INTO coin_quotes (snapshot_id, coin_id, rank, price, volume_24h, sentiment) \
                     SELECT id, $2, 1, $3, $3 * 2, 0.5 FROM s",
            )
            .bind::<Timestamptz, _>(start + TimeDelta::minutes(5) * number)
            .bind::<BigInt, _>(coin)
            .bind::<Double, _>(price)
            .bind::<Double, _>(1.0 + f64::from(number) / 1000.0)
            .execute(conn)?;
        }
        diesel::QueryResult::Ok(())
    })
    .unwrap();
    coin
}

fn count(app: &App, query: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("SELECT count(*) AS n FROM {query}")).get_result::<Count>(&mut app.sql()).unwrap().n
}

#[tokio::test]
async fn history_says_the_same_before_and_after_it_is_rolled_up_and_old_parts_go() {
    let market = Market::start().await;
    let app = market.app("demo", &[("COINS_CURRENCIES", "GBP,USD")]);
    // Three days, ten days ago, with a gap of a day, at 5 minutes.
    let start = (app.clock.now() - TimeDelta::days(10)).date_naive().and_hms_opt(0, 2, 0).unwrap().and_utc();
    let prices: Vec<f64> = (0..576).map(|n| 100.0 + f64::from(n * 7919 % 101)).collect();
    let coin = remember(&app, start, &prices[..288]);
    remember(&app, start + TimeDelta::days(2), &prices[288..]);
    let all = |step, currency: &str| -> Vec<Point> {
        let range = (start - TimeDelta::days(1), start + TimeDelta::days(4));
        history(&mut app.sql(), coin, currency, range, step, 10_000).unwrap()
    };
    let steps = [(Step::FiveMinutes, 576), (Step::Hour, 48), (Step::Day, 2)];
    let before: Vec<_> = steps.iter().flat_map(|(step, _)| [all(*step, "GBP"), all(*step, "USD")]).collect();
    for ((_, points), pair) in steps.iter().zip(before.chunks(2)) {
        assert_eq!((pair[0].len(), pair[1].len()), (*points, *points));
    }
    let hour = &all(Step::Hour, "GBP")[0];
    let (low, high) = prices[..12].iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(*p), h.max(*p)));
    assert_eq!((hour.open, hour.close), (Some(prices[0]), Some(prices[11])));
    assert_eq!((hour.low, hour.high, hour.samples), (Some(low), Some(high), 12));
    assert_eq!(hour.sentiment, Some(0.5));

    // A sync rolls up what is there, ten steps each.
    let syncing = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    eventually("the roll-up", async || {
        count(&app, "coin_history WHERE step_seconds = 86400 AND currency = 'USD'") >= 2
    })
    .await;
    let week_ago = (app.clock.now() - TimeDelta::days(7)).to_rfc3339();
    let old = format!("coin_snapshots WHERE fetched_at < '{week_ago}' AND provider <> 'demo'");
    eventually("the pruning", async || count(&app, &old) == 0).await;
    drop(syncing);
    assert!(all(Step::FiveMinutes, "GBP").is_empty(), "every slot is kept for 7 days");
    let after =
        [all(Step::Hour, "GBP"), all(Step::Hour, "USD"), all(Step::Day, "GBP"), all(Step::Day, "USD")];
    for (before, after) in before[2..].iter().zip(&after) {
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(after) {
            let same = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() <= 1e-9 * a.unwrap();
            assert_eq!((before.at, before.samples), (after.at, after.samples));
            assert_eq!((before.open, before.high), (after.open, after.high));
            assert_eq!((before.low, before.close), (after.low, after.close));
            assert!(same(before.volume_24h, after.volume_24h) && same(before.sentiment, after.sentiment));
        }
    }
}

#[tokio::test]
async fn a_days_means_are_the_same_before_and_after_its_hours_are_rolled_up() {
    let market = Market::start().await;
    let app = market.app("demo", &[]);
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    let day = (app.clock.now() - TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    // Ten with a sentiment in the first hour, one of ten in the second.
    for number in 0..20 {
        let at = day + TimeDelta::minutes(6) * number;
        let sentiment = match number {
            0..10 => Some(0.0),
            10 => Some(1.0),
            _ => None,
        };
        insert(&app, bitcoin, at, 70_000.0, sentiment);
    }
    // The day is over when there is an hour of the next.
    insert(&app, bitcoin, day + TimeDelta::hours(25), 70_000.0, None);
    let read = async || {
        let body = user.get(&format!("{COINS}/btc/history?interval=1d")).await.assert(200).json();
        body["data"][0].clone()
    };
    let before = read().await;
    assert!(close(&before["sentiment"], 1.0 / 11.0), "{before}");
    let syncing = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    eventually("the roll-up", async || count(&app, "coin_history WHERE step_seconds = 86400") > 0).await;
    drop(syncing);
    let after = read().await;
    assert!(close(&after["sentiment"], 1.0 / 11.0), "{after}");
    for name in ["at", "open", "high", "low", "close", "popularity", "samples"] {
        assert_eq!(before[name], after[name], "{name}");
    }
}

#[tokio::test]
async fn points_begin_within_the_range_and_are_bounded() {
    let app = App::with(&[("COINS_CURRENCIES", "GBP")]);
    let start = (app.clock.now() - TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    let coin = remember(&app, start, &[1.0; 48]);
    let hours = |from: i64, to: i64, most| -> Vec<i64> {
        let range = (start + TimeDelta::minutes(from), start + TimeDelta::minutes(to));
        let points = history(&mut app.sql(), coin, "GBP", range, Step::Hour, most).unwrap();
        points.iter().map(|point| (point.at - start).num_hours()).collect()
    };
    assert_eq!(hours(0, 240, 9), [0, 1, 2, 3]);
    assert_eq!(hours(1, 180, 9), [1, 2]);
    assert_eq!(hours(60, 181, 9), [1, 2, 3]);
    assert_eq!(hours(0, 240, 2), [0, 1]);
    assert!(hours(240, 0, 9).is_empty());
    assert!(
        history(&mut app.sql(), coin, "EUR", (start, app.clock.now()), Step::Hour, 9).unwrap().is_empty()
    );
}
