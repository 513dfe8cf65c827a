//! Logos, supplies, ranges and tags of coins, from the one answer of each provider.

use serde_json::{Value, json};

use crate::support::{
    App,
    events::Events,
    market::{COINS, Market, changed, from, until},
    upstream::Reply,
};

/// The recorded list of CoinGecko, changed.
fn coingecko(change: impl FnOnce(&mut Value)) -> Reply {
    changed("coingecko_markets_gbp", change)
}

#[tokio::test]
async fn a_row_of_coingecko_is_complete() {
    let market = Market::start().await;
    market.coingecko.say(vec![coingecko(|coins| {
        for (place, change) in [12.5, -3.0].into_iter().enumerate() {
            coins[place]["price_change_percentage_30d_in_currency"] = change.into();
        }
        // What is wrong is null, and the rest of the row is read.
        coins[1]["image"] = "missing_large.png".into();
        coins[1]["high_24h"] = "high".into();
        coins[2]["image"] = "https://evil.example/coingecko.com.png".into();
        coins[2]["ath"] = json!({});
        coins[2]["max_supply"] = (-1).into();
    })]);
    let app = market.app("coingecko", &[]);
    let user = app.user().await;
    let list = from(&user, "coingecko").await;
    let requests = market.coingecko.requests();
    assert!(
        requests.len() == 1 && requests[0].contains("price_change_percentage=1h%2C24h%2C7d%2C30d"),
        "{requests:?}"
    );
    let bitcoin = &list["data"][0];
    for (name, value) in [
        ("image", json!("https://coin-images.coingecko.com/coins/images/1/large/bitcoin.png?1696501400")),
        ("circulating_supply", json!(19_951_234.0)),
        ("max_supply", json!(21_000_000.0)),
        ("high_24h", json!(71_615.670_942)),
        ("low_24h", json!(68_105.098_837)),
        ("ath", json!(98_296.018_94)),
        ("ath_at", json!("2025-10-06T18:57:42.558Z")),
        ("percent_change_30d", json!(12.5)),
        ("tags", json!([])),
    ] {
        assert_eq!(bitcoin[name], value, "{name}");
        if !["image", "circulating_supply", "max_supply", "tags"].contains(&name) {
            assert_eq!(bitcoin["quote"][name], value, "quote.{name}");
        }
    }
    let ether = &list["data"][1];
    assert_eq!((&ether["image"], &ether["max_supply"]), (&Value::Null, &Value::Null), "{ether}");
    assert_eq!((&ether["high_24h"], &ether["price"]), (&Value::Null, &json!(2411.0831)), "{ether}");
    let tether = &list["data"][2];
    assert_eq!(
        (&tether["image"], &tether["ath"], &tether["max_supply"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!((&tether["ath_at"], &tether["price"]), (&Value::Null, &json!(0.7642)), "{tether}");

    let sorted = async |query: &str| {
        let body =
            user.get(&format!("{COINS}?sort=percent_change_30d&limit=3{query}")).await.assert(200).json();
        body["data"].as_array().unwrap().iter().map(|coin| coin["symbol"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sorted("").await, ["BTC", "ETH", "USDT"], "null comes last");
    assert_eq!(sorted("&order=asc").await, ["ETH", "BTC", "USDT"]);
    let sparse = format!("{COINS}/sparse?limit=1&fields=image,ath_at,quote.low_24h");
    let sparse = user.get(&sparse).await.assert(200).json();
    assert_eq!(sparse["data"][0]["quote"], json!({"low_24h": 68_105.098_837}), "{sparse}");
    let one = user.get(&format!("{COINS}/btc")).await.assert(200).json();
    assert_eq!(&one["data"], bitcoin);
    let (_, event) = Events::open(&app, &user, "", None).await.event().await.unwrap();
    assert_eq!(&event["data"][0], bitcoin);
}

#[tokio::test]
async fn rows_of_the_other_providers_have_what_their_answers_have() {
    let market = Market::start().await;
    let app = market.app("coinmarketcap", &[]);
    let user = app.user().await;
    let bitcoin = &from(&user, "coinmarketcap").await["data"][0];
    let image = "https://s2.coinmarketcap.com/static/img/coins/64x64/1.png";
    assert_eq!(bitcoin["image"], image);
    assert_eq!(bitcoin["tags"], json!(["mineable", "pow", "store-of-value"]));
    assert_eq!(bitcoin["percent_change_30d"], 10.601_969_25);
    assert_eq!(
        (&bitcoin["circulating_supply"], &bitcoin["max_supply"]),
        (&json!(19_951_234.0), &json!(21e6))
    );
    assert_eq!((&bitcoin["ath"], &bitcoin["high_24h"]), (&Value::Null, &Value::Null), "{bitcoin}");
    let table = user.get("/api/v1/coins.csv?limit=1&fields=image,tags,max_supply").await.assert(200).text();
    let row = format!("1,BTC,21000000.0,{image},mineable pow store-of-value,GBP,coinmarketcap,");
    assert!(table.split("\r\n").nth(1).is_some_and(|line| line.starts_with(&row)), "{table}");

    let app = market.app("coinpaprika", &[]);
    let user = app.user().await;
    let list = from(&user, "coinpaprika").await;
    let bitcoin = &list["data"][0];
    assert_eq!(bitcoin["image"], "https://static.coinpaprika.com/coin/btc-bitcoin/logo.png");
    assert_eq!(
        (&bitcoin["ath"], &bitcoin["ath_at"]),
        (&json!(98_296.018_94), &json!("2025-10-06T18:57:00Z"))
    );
    assert_eq!((&bitcoin["percent_change_30d"], &bitcoin["max_supply"]), (&json!(0.0), &json!(21e6)));
    assert_eq!((&bitcoin["low_24h"], &bitcoin["circulating_supply"]), (&Value::Null, &Value::Null));
    assert_eq!(list["data"][1]["max_supply"], Value::Null, "0 means no limit");
}

#[tokio::test]
async fn logo_and_tags_stay_while_a_provider_without_them_stands_in() {
    let market = Market::start().await;
    let app = market.app("coinmarketcap,coingecko", &[]);
    let mut admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    market.coinmarketcap.say(vec![Reply::Http(500, "", Vec::new())]);
    market.coingecko.say(vec![coingecko(|coins| {
        coins[0]["image"] = Value::Null;
        coins[1]["image"] = "https://assets.coingecko.com/eth.png".into();
    })]);
    app.clock.advance(std::time::Duration::from_mins(6));
    admin.refresh().await.assert(200);
    admin.post_empty("/api/v1/admin/sync").await.assert(202);
    let list = until(&admin, COINS, |body| body["source"] == "coingecko").await;
    let (bitcoin, ether) = (&list["data"][0], &list["data"][1]);
    assert_eq!(bitcoin["tags"], json!(["mineable", "pow", "store-of-value"]));
    assert_eq!(bitcoin["image"], "https://s2.coinmarketcap.com/static/img/coins/64x64/1.png");
    assert_eq!(ether["image"], "https://assets.coingecko.com/eth.png");
}

#[tokio::test]
async fn amounts_of_a_row_are_converted_and_supplies_are_not() {
    let market = Market::start().await;
    market.coingecko.say_at(
        "/api/v3/simple/price",
        Reply::Http(200, "", br#"{"bitcoin":{"gbp":100,"usd":125}}"#.to_vec()),
    );
    market.coingecko.say(vec![coingecko(|coins| {
        coins[0]["price_change_percentage_30d_in_currency"] = 12.5.into();
    })]);
    let app = market.app("coingecko", &[("COINS_CURRENCIES", "GBP,USD")]);
    let user = app.user().await;
    from(&user, "coingecko").await;
    let read = async |currency: &str| {
        user.get(&format!("{COINS}/btc?currency={currency}")).await.assert(200).json()["data"].clone()
    };
    let (pound, dollar) = (read("GBP").await, read("USD").await);
    for name in ["price", "high_24h", "low_24h", "ath"] {
        let (one, other) = (pound[name].as_f64().unwrap(), dollar[name].as_f64().unwrap());
        assert!((other - one * 1.25).abs() < 1e-9 * one, "{name}: {one} {other}");
    }
    for name in ["circulating_supply", "max_supply", "ath_at", "image"] {
        assert_eq!(pound[name], dollar[name], "{name}");
    }
    assert_eq!(dollar["percent_change_30d"], Value::Null, "the rate has no change of 30 days");
}

#[tokio::test]
async fn the_demonstration_has_supplies_and_no_logo() {
    let app = App::start();
    let body = app.user().await.get(&format!("{COINS}/btc")).await.assert(200).json();
    let bitcoin = &body["data"];
    assert_eq!(
        (&bitcoin["max_supply"], &bitcoin["percent_change_30d"]),
        (&json!(21e6), &json!(10.601_969_25))
    );
    assert_eq!((&bitcoin["image"], &bitcoin["tags"]), (&Value::Null, &json!([])));
}
