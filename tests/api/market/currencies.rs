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

#[tokio::test]
async fn every_provider_reports_currency_rates() {
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
    assert_eq!(status["providers"][0]["used_today"], 4);
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
