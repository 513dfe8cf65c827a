//! The names of all coins that a provider knows, and following one of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    App, Client, eventually,
    market::{COINS, Market, SYNC, changed, from},
    noon,
    upstream::Reply,
};

const OF_COINGECKO: &str = "/api/v3/coins/list";
const ON: &[(&str, &str)] = &[("COINS_COUNT", "3"), ("COINS_CATALOGUE", "on")];

fn names(coins: &Value) -> Reply {
    Reply::Http(200, "", coins.to_string().into_bytes())
}

fn three_coins() -> Reply {
    changed("coingecko_markets_gbp", |coins| coins.as_array_mut().unwrap().truncate(3))
}

/// A server that knows these names from `CoinGecko`.
async fn with_names(coins: &Value) -> (Market, App, Client) {
    let market = Market::start().await;
    market.coingecko.say(vec![three_coins()]);
    market.coingecko.say_at(OF_COINGECKO, names(coins));
    let app = market.app("coingecko", ON);
    let user = app.confirmed_user().await;
    from(&user, "coingecko").await;
    (market, app, user)
}

async fn search(client: &Client, query: &str) -> Value {
    client.get(&format!("{COINS}/search?{query}")).await.assert(200).json()
}

async fn until_known(client: &Client, name: &str) {
    let query = format!("q={name}");
    eventually("the catalogue", async || search(client, &query).await["data"][0]["ref"].is_string()).await;
}

fn refs(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|coin| coin["ref"].as_str().unwrap()).collect()
}

/// Coins that no list has, with names that are alike.
fn coins_of_wif() -> Value {
    json!([
        {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin"},
        {"id": "dogwifcoin", "symbol": "wif", "name": "dogwifhat"},
        {"id": "baby-wif", "symbol": "babywif", "name": "Baby Wif"},
        {"id": "wif-2", "symbol": "wif2", "name": "dogwifhat Two"},
        {"id": "fake", "symbol": "wifcoin", "name": "A fake"},
        {"id": 7, "symbol": "bad"},
    ])
}

#[tokio::test]
async fn coins_that_were_never_synced_are_found_the_nearest_first() {
    let (_market, _app, user) = with_names(&coins_of_wif()).await;
    until_known(&user, "wif").await;
    let found = search(&user, "q=WIF").await;
    assert_eq!(refs(&found), ["coingecko:dogwifcoin", "coingecko:fake", "coingecko:wif-2"]);
    assert_eq!(found["data"][0]["id"], Value::Null);
    assert_eq!(found["data"][0]["symbol"], "WIF");
    assert_eq!(found["sources"][0]["source"], "coingecko");
    assert!(found["sources"][0]["attribution"].as_str().unwrap().contains("CoinGecko"));
    // Ours have their id, and its rank of the last sync.
    let bitcoin = &search(&user, "q=bit&limit=1").await["data"][0];
    assert_eq!(
        (&bitcoin["rank"], &bitcoin["synced"], bitcoin["id"].is_i64()),
        (&json!(1), &json!(true), true)
    );
    assert_eq!(refs(&search(&user, "q=dogwif&limit=2").await), ["coingecko:dogwifcoin", "coingecko:wif-2"]);
    assert_eq!(search(&user, "q=ifhat").await["data"], json!([]));
    for wild in ["q=%25", "q=_", "q=%27", "q=%5C"] {
        assert_eq!(search(&user, wild).await["data"], json!([]), "{wild}");
    }
}

#[tokio::test]
async fn a_coin_that_was_never_synced_can_be_followed_by_its_reference() {
    let (market, app, user) = with_names(&coins_of_wif()).await;
    until_known(&user, "wif").await;
    // Nothing but the reference leads to it before it is followed.
    for path in ["wif", "coingecko:dogwifcoin"] {
        user.get(&format!("{COINS}/{path}/history")).await.assert_problem(404, "not-found");
    }
    let put = async |coin: &str| {
        let path = format!("/api/v1/user/watchlist/{coin}");
        user.send(reqwest::Method::PUT, &path, |request| request).await
    };
    for unknown in ["coingecko:nothing", "coinpaprika:dogwifcoin", "nobody:dogwifcoin", "coingecko:"] {
        put(unknown).await.assert_problem(404, "not-found");
    }
    put("CoinGecko:dogwifcoin").await.assert(204);
    put("coingecko:dogwifcoin").await.assert(204);
    let found = &search(&user, "q=wif").await["data"][0];
    assert!(found["id"].is_i64() && found["synced"] == false, "{found}");
    let watched = user.get(&format!("{COINS}?watchlist=true")).await.json();
    assert_eq!(
        watched["absent"],
        json!([{"id": found["id"], "symbol": "WIF", "name": "dogwifhat", "slug": "dogwifcoin"}])
    );

    // An alert and a purchase name other coins; all three are read by the next sync.
    let alert =
        json!({"coin": "coingecko:baby-wif", "metric": "price", "direction": "above", "threshold": 1});
    let alert = user.post("/api/v1/user/alerts", &alert).await.assert(201).json();
    assert_eq!(alert["armed"], true);
    let bought =
        json!({"coin": "coingecko:wif-2", "kind": "buy", "amount": "1", "total": "1", "day": "2026-01-01"});
    user.post("/api/v1/user/portfolio/transactions", &bought).await.assert(201);
    let alert = json!({"coin": "coingecko:nothing", "metric": "price", "direction": "above", "threshold": 1});
    user.post("/api/v1/user/alerts", &alert).await.assert_problem(422, "validation-failed");
    market.coingecko.say_at(
        "/api/v3/coins/markets?vs_currency=gbp&ids=",
        changed("coingecko_markets_gbp", |coins| {
            coins.as_array_mut().unwrap().truncate(1);
            coins[0]["id"] = "dogwifcoin".into();
            coins[0]["symbol"] = "wif".into();
            coins[0]["name"] = "dogwifhat".into();
            coins[0]["market_cap_rank"] = 77.into();
        }),
    );
    app.admin().await.post_empty(SYNC).await.assert(202);
    eventually("the coin", async || search(&user, "q=wif").await["data"][0]["synced"] == true).await;
    let asked = market.coingecko.requests();
    let ids = ["dogwifcoin", "baby-wif", "wif-2"];
    let by_ids = asked.iter().find(|request| request.contains("&ids=")).expect("a request by ids");
    assert!(ids.iter().all(|id| by_ids.contains(id)) && !by_ids.contains("fake"), "{by_ids}");
    assert!(user.get(&format!("{COINS}/wif")).await.json()["data"]["price"].is_f64());
}

#[tokio::test]
async fn the_catalogue_is_renewed_once_a_day_by_one_server() {
    let first =
        json!([{"id": "old", "symbol": "old", "name": "Old"}, {"id": "kept", "symbol": "k", "name": "Kept"}]);
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say(vec![three_coins()]);
    market.coingecko.say_at(OF_COINGECKO, names(&first));
    let app = market.app_at(clock.clone(), "coingecko", ON);
    let user = app.user().await;
    from(&user, "coingecko").await;
    until_known(&user, "old").await;
    let other = app.replica();
    let second = json!([{"id": "kept", "symbol": "k", "name": "Kept by another name"}, {"id": "new", "symbol": "new", "name": "New"}]);
    market.coingecko.say_at(OF_COINGECKO, names(&second));
    clock.advance(Duration::from_hours(23));
    from(&other.user().await, "coingecko").await;
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 1);
    clock.advance(Duration::from_hours(2));
    let user = app.user().await;
    until_known(&user, "new").await;
    eventually("the old name to go", async || search(&user, "q=old").await["data"] == json!([])).await;
    assert_eq!(search(&user, "q=kept").await["data"][0]["name"], "Kept by another name");
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 2);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_leaves_the_market_alone_and_the_next_provider_stands_in() {
    let market = Market::start().await;
    market.coingecko.say(vec![three_coins()]);
    market.coingecko.say_at(OF_COINGECKO, Reply::Http(500, "", b"{}".to_vec()));
    let app = market.app("coingecko,coinpaprika", ON);
    let user = app.user().await;
    from(&user, "coingecko").await;
    until_known(&user, "cardano").await;
    let found = search(&user, "q=cardano").await;
    assert_eq!(refs(&found), ["coinpaprika:ada-cardano"]);
    assert_eq!(found["sources"][0]["source"], "coinpaprika");
    let status = app.admin().await.get(SYNC).await.json();
    assert_eq!(status["providers"][0]["state"], "ready", "{status}");
    // The same coin at the provider of the market is the one that is synced.
    let bitcoin = &search(&user, "q=btc").await["data"][0];
    let id = user.get(&format!("{COINS}/btc")).await.json()["data"]["id"].clone();
    user.send(reqwest::Method::PUT, "/api/v1/user/watchlist/coinpaprika:btc-bitcoin", |request| request)
        .await
        .assert(204);
    assert_eq!(user.get(&format!("{COINS}?watchlist=true")).await.json()["data"][0]["id"], id, "{bitcoin}");
}

#[tokio::test]
async fn coinmarketcap_lists_its_coins_in_the_order_of_their_rank() {
    let market = Market::start().await;
    let map = json!({"status": {"error_code": 0, "credit_count": 1}, "data": [
        {"id": 24478, "rank": 40, "name": "Pepe", "symbol": "PEPE", "slug": "pepe"},
        {"id": 99, "rank": 2000, "name": "Pepe", "symbol": "PEPE", "slug": "pepe-of-another"},
        {"id": 98, "rank": null, "name": "Pepe Two", "symbol": "PEPE2", "slug": "pepe-2"},
    ]});
    market.coinmarketcap.say_at("/v1/cryptocurrency/map", names(&map));
    let app = market.app("coinmarketcap", ON);
    let user = app.user().await;
    from(&user, "coinmarketcap").await;
    until_known(&user, "pepe").await;
    let found = search(&user, "q=pepe").await;
    assert_eq!(refs(&found), ["coinmarketcap:24478", "coinmarketcap:99", "coinmarketcap:98"]);
    assert_eq!(found["data"][0]["rank"], 40);
}

#[tokio::test]
async fn without_a_catalogue_the_known_coins_are_found() {
    let app = App::start();
    let user = app.user().await;
    let found = search(&user, "q=bitc").await;
    assert_eq!((&found["data"][0]["symbol"], &found["data"][0]["ref"]), (&json!("BTC"), &Value::Null));
    assert_eq!(found["sources"], json!([]));
    for (query, pointer, code) in [
        ("q=", "/q", "length"),
        ("q=%20", "/q", "text"),
        ("q=a&limit=51", "/limit", "range"),
        ("q=a&limit=0", "/limit", "range"),
    ] {
        user.get(&format!("{COINS}/search?{query}")).await.assert_invalid(pointer, code);
    }
    user.get(&format!("{COINS}/search")).await.assert_problem(400, "malformed-query");
}
