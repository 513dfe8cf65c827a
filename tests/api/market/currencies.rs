//! The same data in other currencies.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    App, Client, eventually,
    market::{COINS, Market, SYNC, changed, fresh, from, until},
    upstream::{Reply, fixture},
};

fn close(found: &Value, expected: f64) -> bool {
    found.as_f64().is_some_and(|found| (found - expected).abs() <= 1e-9 * expected.abs())
}

const PRICES: &str = "/api/v3/simple/price";

fn rates(usd: f64, eur: f64) -> Reply {
    let body = serde_json::json!({"bitcoin": {"gbp": 100, "usd": 100.0 * usd, "eur": 100.0 * eur}});
    Reply::Http(200, "", body.to_string().into_bytes())
}

/// As [`rates`], with changes within 24 hours.
fn rates_with_changes(usd: f64, change_of_pound: f64, change_of_dollar: f64) -> Reply {
    let body = serde_json::json!({"bitcoin": {
        "gbp": 100, "gbp_24h_change": change_of_pound, "usd": 100.0 * usd, "usd_24h_change": change_of_dollar,
        "eur": 120
    }});
    Reply::Http(200, "", body.to_string().into_bytes())
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
        assert_eq!(dollar["percent_change_24h"], Value::Null, "how the dollar has moved is not known");
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
    assert_eq!(market.coingecko.count_requests(PRICES), 1);
    let run = async |admin: &mut Client, requested: usize| {
        admin.refresh().await.assert(200);
        admin.post_empty(SYNC).await.assert(202);
        eventually("the run", async || market.coingecko.count_requests("/api/v3/coins/markets") == requested)
            .await;
        until(admin, SYNC, |status| status["slots"][0]["state"] == "done").await;
    };
    app.clock.advance(Duration::from_mins(30));
    run(&mut admin, 2).await;
    assert_eq!(market.coingecko.count_requests(PRICES), 1);
    market.coingecko.say_at(PRICES, rates(1.3, 1.2));
    app.clock.advance(Duration::from_mins(40));
    run(&mut admin, 3).await;
    assert_eq!(market.coingecko.count_requests(PRICES), 2);
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

/// By how many percent the dollar changes in [`every_provider_reports_currency_rates`].
const CHANGES: [(&str, f64); 4] = [
    ("percent_change_1h", 1.0),
    ("percent_change_24h", 2.0),
    ("percent_change_7d", 3.0),
    ("percent_change_30d", 4.0),
];

/// The change of a price in dollars, from that in pounds and that of the rate.
fn with_change(in_pounds: f64, of_rate: f64) -> f64 {
    ((1.0 + in_pounds / 100.0) * (1.0 + of_rate / 100.0) - 1.0) * 100.0
}

#[tokio::test]
async fn every_provider_reports_currency_rates() {
    let dollars = |name| {
        changed(name, |body| {
            for coin in body["data"].as_array_mut().unwrap() {
                coin["quote"][0]["symbol"] = "USD".into();
                coin["quote"][0]["price"] = (coin["quote"][0]["price"].as_f64().unwrap() * 1.25).into();
                for (name, percent) in CHANGES {
                    let in_pounds = coin["quote"][0][name].as_f64().unwrap();
                    coin["quote"][0][name] = with_change(in_pounds, percent).into();
                }
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
            br#"{"id":"btc-bitcoin", "symbol":"BTC","name":"Bitcoin","quotes":{
                "GBP":{"price":4, "percent_change_1h":0, "percent_change_24h":0, "percent_change_7d":0,
                    "percent_change_30d":0},
                "USD":{"price":5, "percent_change_1h":1, "percent_change_24h":2, "percent_change_7d":3,
                    "percent_change_30d":4}}}"#
                .to_vec(),
        ),
    );
    for name in ["coinmarketcap", "coinpaprika"] {
        let app = market.app(name, &[("COINS_CURRENCIES", "GBP,USD")]);
        let user = app.user().await;
        from(&user, name).await;
        let body = user.get(&format!("{COINS}?currency=USD")).await.assert(200).json();
        assert_eq!(body["source"], name);
        let dollar = &body["data"][0];
        assert!(close(&dollar["price"], 70211.4421 * 1.25), "{name}: {dollar}");
        // Changes are known from the first sync on.
        let pound = user.get(&format!("{COINS}/btc")).await.assert(200).json();
        for (change, percent) in CHANGES {
            let in_pounds = pound["data"][change].as_f64().unwrap();
            let found = dollar[change].as_f64().unwrap_or(f64::NAN);
            assert!((found - with_change(in_pounds, percent)).abs() < 1e-6, "{name}, {change}: {dollar}");
        }
    }
    assert!(market.coinmarketcap.requests()[1].contains("convert=USD"));
}

#[tokio::test]
async fn an_unsupported_currency_does_not_affect_the_others_and_is_requested_once_an_hour() {
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
    eventually("the run", async || market.coinmarketcap.count_requests(listings("GBP")) == 2).await;
    let status = until(&admin, SYNC, |status| status["slots"][0]["state"] == "done").await;
    let requested = ["XYZ", "USD"].map(|currency| market.coinmarketcap.count_requests(listings(currency)));
    assert_eq!(requested, [1, 1], "once an hour");
    assert_eq!(status["providers"][0]["used_today"], 3, "a refusal is not charged");
}

#[tokio::test]
async fn demo_data_is_converted_and_a_currency_without_a_rate_is_a_503() {
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
async fn a_change_that_is_stated_with_the_rate_counts_for_an_hour() {
    let market = Market::start().await;
    market.coingecko.say_at(PRICES, rates_with_changes(1.25, -4.0, 1.0));
    let app = market.app("coingecko", &[("COINS_CURRENCIES", "GBP,USD,EUR")]);
    let mut admin = app.admin().await;
    from(&admin, "coingecko").await;
    assert!(market.coingecko.requests().iter().any(|request| request.contains("include_24hr_change=true")));
    let of_rate = ((1.0 + 1.0 / 100.0) / (1.0 - 4.0 / 100.0) - 1.0) * 100.0;
    let run = async |admin: &mut Client, minutes: u64, requested: usize| {
        app.clock.advance(Duration::from_mins(minutes));
        admin.refresh().await.assert(200);
        admin.post_empty(SYNC).await.assert(202);
        eventually("the run", async || market.coingecko.count_requests("/api/v3/coins/markets") == requested)
            .await;
        until(admin, SYNC, |status| status["slots"][0]["state"] == "done").await;
    };
    let dollar = async |admin: &Client| {
        admin.get(&format!("{COINS}/BTC?currency=USD")).await.assert(200).json()["data"].clone()
    };
    for (minutes, requested) in [(0, 2), (59, 3)] {
        run(&mut admin, minutes, requested).await;
        let dollar = dollar(&admin).await;
        assert!(close(&dollar["percent_change_24h"], with_change(-3.875_049_67, of_rate)), "{dollar}");
        assert_eq!(dollar["percent_change_7d"], Value::Null);
    }
    // Later rates cannot be read: the last ones serve on, without their changes.
    market.coingecko.say_at(PRICES, Reply::Http(503, "", Vec::new()));
    run(&mut admin, 2, 4).await;
    let dollar = until(&admin, &format!("{COINS}/BTC?currency=USD"), |body| {
        body["data"]["percent_change_24h"].is_null()
    })
    .await;
    assert!(close(&dollar["data"]["price"], 70211.4421 * 1.25), "{dollar}");
}

#[tokio::test]
async fn a_currency_that_is_not_supported_does_not_cost_its_neighbour_the_rate() {
    let market = Market::start().await;
    let refused = Reply::Http(400, "", br#"{"error":"invalid quotes"}"#.to_vec());
    let path = |quotes: &str| &*format!("/v1/tickers/btc-bitcoin?quotes=GBP%2C{quotes}").leak();
    let dollars = br#"{"id":"btc-bitcoin","symbol":"BTC","name":"Bitcoin","quotes":{"GBP":{"price":4},"USD":{"price":5}}}"#;
    market.coinpaprika.say_at(path("XTS%2CUSD"), refused.clone());
    market.coinpaprika.say_at(path("XTS"), refused);
    market.coinpaprika.say_at(path("USD"), Reply::Http(200, "", dollars.to_vec()));
    let app = market.app("coinpaprika", &[("COINS_CURRENCIES", "GBP,XTS,USD")]);
    let admin = app.admin().await;
    from(&admin, "coinpaprika").await;
    let body = admin.get(&format!("{COINS}?currency=USD")).await.assert(200).json();
    assert!(close(&body["data"][0]["price"], 70211.4421 * 1.25), "{body}");
    admin.get(&format!("{COINS}?currency=XTS")).await.assert_problem(503, "unavailable");
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!(status["providers"][0]["used_today"], 4, "the list, both currencies, each alone");
}

#[tokio::test]
async fn made_up_amounts_are_never_served_in_place_of_real_ones() {
    let market = Market::start().await;
    market.coingecko.say_at(PRICES, Reply::Http(503, "", Vec::new()));
    let app = market.app("coingecko", &[("COINS_CURRENCIES", "GBP,USD")]);
    let user = app.user().await;
    from(&user, "coingecko").await;
    for path in ["", "/btc", "/sparse?fields=price", ".csv", "/btc/history", "/btc/chart.svg", "/stream"] {
        let sign = if path.contains('?') { '&' } else { '?' };
        user.get(&format!("{COINS}{path}{sign}currency=USD")).await.assert_problem(503, "unavailable");
    }
    let alert = serde_json::json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 1, "currency": "USD"});
    user.post("/api/v1/user/alerts", &alert).await.assert_problem(503, "unavailable");

    // A new first currency, while no provider answers: the last real data, in its own currency.
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    let changed = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_CURRENCIES", "USD,GBP")]);
    let user = changed.user().await;
    let body = user.get(COINS).await.assert(200).json();
    assert_eq!((&body["source"], &body["currency"]), (&"coingecko".into(), &"GBP".into()));
    assert_eq!(body["data"][0]["price"], 70211.4421);
    user.get(&format!("{COINS}/btc/history")).await.assert(200);
    user.get(&format!("{COINS}?currency=USD")).await.assert_problem(503, "unavailable");
    let alert = serde_json::json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 1});
    user.post("/api/v1/user/alerts", &alert).await.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn an_alert_is_not_disarmed_by_a_made_up_price() {
    let app = App::start();
    let user = app.user().await;
    let alert = serde_json::json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 1});
    let made = user.post("/api/v1/user/alerts", &alert).await.assert(201).json();
    assert_eq!(made["armed"], true);
}
