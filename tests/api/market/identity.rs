//! Which coins of two providers are the same.

use serde_json::Value;

use crate::support::{
    eventually,
    market::{COINS, Market, app, by_symbol, changed, fresh, from, ids, until},
    upstream::{Upstream, fixture},
};

#[tokio::test]
async fn every_provider_reports_the_same_coins_under_the_same_ids() {
    let market = Market::start().await;
    let demo = market.app("demo", &[]);
    let expected = ids(&demo.user().await.get(COINS).await.assert(200).json());
    assert_eq!(expected.len(), 20);
    for name in ["coinmarketcap", "coinmarketcap-public", "coingecko", "coinpaprika"] {
        let app = demo.replica_with(&[("COINS_PROVIDERS", name), ("COINS_SYNC_INTERVAL", "1s")]);
        let body = from(&app.user().await, name).await;
        assert_eq!(ids(&body), expected, "{name}");
        let bitcoin = &body["data"][0];
        assert_eq!((&bitcoin["slug"], &bitcoin["rank"]), (&"bitcoin".into(), &1.into()), "{name}");
        assert_eq!(bitcoin["price"], 70211.4421, "{name}");
        assert_eq!(by_symbol(&body)["USDT"]["name"], "Tether USDt", "{name} does not rename a coin");
        let needs_attribution = body["attribution"].as_str().unwrap();
        assert!(needs_attribution.contains("https://"), "{needs_attribution}");
    }
    assert_eq!(demo.count("SELECT count(*) FROM coins"), 20);
}

#[tokio::test]
async fn a_coin_that_leaves_the_list_and_returns_keeps_its_id() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    let before = ids(&from(&user, "coingecko").await);
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[19]["id"] = "another-coin".into();
        coins[19]["name"] = "Another Coin".into();
        coins[19]["symbol"] = "ano".into();
    })]);
    let without = until(&user, COINS, |body| body["data"][19]["symbol"] == "ANO").await;
    assert!(!ids(&without).contains_key("SHIB"));
    user.get(&format!("{COINS}/SHIB")).await.assert_problem(404, "not-found");
    market.coingecko.say(vec![fresh("coingecko_markets_gbp")]);
    let after = until(&user, COINS, |body| body["data"][19]["symbol"] == "SHIB").await;
    assert_eq!(ids(&after), before);
}

/// CoinMarketCap lists "Foo Coin", then CoinGecko lists something: is it the same coin?
#[tokio::test]
async fn a_coin_that_is_in_no_table_is_matched_by_symbol_name_and_price_and_never_by_symbol_alone() {
    let foo = |coin: &mut Value, name: &str| {
        coin["name"] = name.into();
        coin["symbol"] = "FOO".into();
    };
    for (case, name, price, twice, same) in [
        ("the same", "Foo Coin", 1.0, false, true),
        ("spelled otherwise, a bit dearer", "foo-coin", 1.04, false, true),
        ("another name", "Fool's Gold", 1.0, false, false),
        ("another price", "Foo Coin", 3.0, false, false),
        ("two of that name", "Foo Coin", 1.0, true, false),
        ("the beginning of the name", "Foo", 1.005, false, true),
        ("the beginning of two names", "Foo", 1.005, true, false),
        ("the beginning of the name, another price", "Foo", 1.04, false, false),
    ] {
        let market = Market::start().await;
        market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
            let coin = &mut body["data"][19];
            foo(coin, "Foo Coin");
            coin["id"] = 99_999.into();
            coin["quote"][0]["price"] = 2.into();
            coin["quote"][0]["market_cap"] = 1_000_000.into();
        })]);
        market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
            let places = if twice { 18..20 } else { 19..20 };
            for place in places {
                foo(&mut coins[place], name);
                coins[place]["id"] = format!("foo-{place}").into();
                coins[place]["current_price"] = (2.0 * price).into();
                coins[place]["market_cap"] = 1_010_000.into();
            }
        })]);
        let app = market.app("coinmarketcap", &[]);
        let before = ids(&from(&app.user().await, "coinmarketcap").await)["FOO"];
        let other = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
        let after = ids(&from(&other.user().await, "coingecko").await)["FOO"];
        assert_eq!(before == after, same, "{case}");
    }
}

/// A well-known coin under another name, and another coin under its name.
#[tokio::test]
async fn two_coins_of_a_provider_never_become_one() {
    let market = Market::start().await;
    let app = market.app("coinmarketcap", &[]);
    let bitcoin = ids(&from(&app.user().await, "coinmarketcap").await)["BTC"];
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[19] = coins[0].clone();
        coins[19]["id"] = "bitcoin-of-somebody".into();
        coins[19]["market_cap_rank"] = 20.into();
        coins[0]["name"] = "Bitcoin Core".into();
    })]);
    let other = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    let body = from(&other.user().await, "coingecko").await;
    assert_eq!(body["data"][0]["id"], bitcoin);
    assert_ne!(body["data"][19]["id"], bitcoin);
}

#[tokio::test]
async fn a_coin_keeps_its_id_and_history_grows() {
    let upstream = Upstream::start(vec![fixture(200, "cmc_v3_listings_latest_gbp")]).await;
    let app = app(&upstream, &[]);
    let user = app.user().await;
    let before = user.get(&format!("{COINS}/BTC")).await.assert(200).json();
    eventually("three snapshots", async || app.count("SELECT count(*) FROM coin_snapshots") >= 3).await;
    let after = from(&user, "coinmarketcap").await;
    assert_eq!(after["data"][0]["id"], before["data"]["id"]);
    assert_eq!(app.count("SELECT count(*) FROM coins"), 20);
}

#[tokio::test]
async fn an_operators_table_makes_one_coin_of_two() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
        let coin = &mut body["data"][19];
        (coin["name"], coin["symbol"], coin["id"]) = ("Foo Coin".into(), "FOO".into(), 99_999.into());
    })]);
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        let coin = &mut coins[19];
        (coin["name"], coin["symbol"], coin["id"]) = ("Bar".into(), "foo".into(), "bar".into());
    })]);
    let app = market.app("coinmarketcap", &[]);
    let first = ids(&from(&app.user().await, "coinmarketcap").await)["FOO"];
    let every_second = ("COINS_SYNC_INTERVAL", "1s");
    let other = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), every_second]);
    assert_ne!(ids(&from(&other.user().await, "coingecko").await)["FOO"], first, "nothing speaks for it");
    drop(other);

    let table = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(table.path(), r#"[{"coinmarketcap": "99999", "coingecko": "bar"}]"#).unwrap();
    let path = table.path().to_str().unwrap();
    let other =
        app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_IDENTITIES", path), every_second]);
    until(&other.user().await, COINS, |body| ids(body)["FOO"] == first).await;
}
