//! Coins outside of the list that users follow.

use serde_json::{Value, json};

use crate::support::{
    App, Client, eventually,
    market::{COINS, Market, SYNC, changed, from},
    upstream::Reply,
};

const OF_COINGECKO: &str = "/api/v3/coins/markets?vs_currency=gbp&ids=";
const OF_COINMARKETCAP: &str = "/v3/cryptocurrency/quotes/latest?id=";

/// Three coins of the list, and a price of bitcoin that no other sync has.
fn list(price: f64) -> Reply {
    changed("coingecko_markets_gbp", |coins| {
        coins.as_array_mut().unwrap().truncate(3);
        coins[0]["current_price"] = price.into();
    })
}

fn dogecoin(price: f64) -> Reply {
    changed("coingecko_markets_gbp", |coins| {
        coins.as_array_mut().unwrap().retain(|coin| coin["id"] == "dogecoin");
        coins[0]["current_price"] = price.into();
    })
}

async fn sync(market: &Market, admin: &Client, price: f64) {
    market.coingecko.say(vec![list(price)]);
    admin.post_empty(SYNC).await.assert(202);
    eventually("the price", async || {
        admin.get(&format!("{COINS}/btc")).await.json()["data"]["price"].as_f64() == Some(price)
    })
    .await;
}

async fn with_market(settings: &[(&str, &str)]) -> (Market, App, Client) {
    let market = Market::start().await;
    market.coingecko.say(vec![list(70_000.0)]);
    let mut all = vec![("COINS_COUNT", "3")];
    all.extend(settings);
    let app = market.app("coingecko", &all);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    (market, app, admin)
}

fn symbols(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|coin| coin["symbol"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_coin_outside_of_the_list_is_read_while_a_user_follows_it() {
    let (market, app, admin) = with_market(&[]).await;
    let user = app.confirmed_user().await;
    let watched = async || user.get(&format!("{COINS}?watchlist=true")).await.assert(200).json();
    user.get(&format!("{COINS}/doge")).await.assert_problem(404, "not-found");
    let put = async |coin: &str| {
        let path = format!("/api/v1/user/watchlist/{coin}");
        user.send(reqwest::Method::PUT, &path, |request| request).await.assert(204)
    };
    put("doge").await;
    put("btc").await;
    let before = watched().await;
    assert_eq!((symbols(&before), before["absent"][0]["symbol"].as_str()), (vec!["BTC"], Some("DOGE")));
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 0, "bitcoin is in the list");

    market.coingecko.say_at(OF_COINGECKO, dogecoin(0.25));
    sync(&market, &admin, 70_001.0).await;
    assert_eq!(market.coingecko.count_requests("/api/v3/coins/markets?vs_currency=gbp&ids=dogecoin&"), 1);
    assert_eq!(symbols(&user.get(COINS).await.json()).len(), 3, "the list stays as it is");
    let found = watched().await;
    assert_eq!((symbols(&found), &found["absent"]), (vec!["BTC", "DOGE"], &json!([])));
    let coin = user.get(&format!("{COINS}/doge")).await.assert(200).json();
    assert_eq!(coin["data"]["price"], 0.25);
    assert_eq!(coin["history"].as_array().unwrap().len(), 1);
    let path = format!("{COINS}/sparse?watchlist=true&fields=price");
    let sparse = user.get(&path).await.assert(200).json();
    assert_eq!((sparse["data"][1]["price"].as_f64(), &sparse["absent"]), (Some(0.25), &json!([])));

    // Its alerts and its part of a portfolio work.
    let alert = json!({"coin": "doge", "metric": "price", "direction": "above", "threshold": 0.3});
    user.post("/api/v1/user/alerts", &alert).await.assert(201);
    let bought = json!({"coin": "doge", "kind": "buy", "amount": "100", "total": "10", "day": "2026-01-01"});
    user.post("/api/v1/user/portfolio/transactions", &bought).await.assert(201);
    let portfolio = user.get("/api/v1/user/portfolio").await.json();
    assert_eq!((&portfolio["value"], &portfolio["unpriced"]), (&json!("25"), &json!([])));
    market.coingecko.say_at(OF_COINGECKO, dogecoin(0.35));
    sync(&market, &admin, 70_002.0).await;
    assert_eq!(app.mail_to(&user.email).await.subject, "Dogecoin: price above \u{a3}0.30");

    // A failure costs the followed coins only, and nothing disappears silently.
    market.coingecko.say_at(OF_COINGECKO, Reply::Http(503, "", Vec::new()));
    sync(&market, &admin, 70_003.0).await;
    let without = watched().await;
    assert_eq!((symbols(&without), without["absent"][0]["slug"].as_str()), (vec!["BTC"], Some("dogecoin")));
    assert_eq!(user.get("/api/v1/user/portfolio").await.json()["unpriced"], json!(["dogecoin"]));
}

#[tokio::test]
async fn followed_coins_can_be_switched_off() {
    let (market, app, admin) = with_market(&[("COINS_FOLLOWED", "0")]).await;
    let user = app.user().await;
    user.send(reqwest::Method::PUT, "/api/v1/user/watchlist/doge", |request| request).await.assert(204);
    market.coingecko.say_at(OF_COINGECKO, dogecoin(0.25));
    sync(&market, &admin, 70_001.0).await;
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 0);
}

#[tokio::test]
async fn coinmarketcap_reads_followed_coins_by_their_ids_too() {
    let market = Market::start().await;
    let app = market.app("coinmarketcap", &[("COINS_COUNT", "3")]);
    let admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    let user = app.user().await;
    user.send(reqwest::Method::PUT, "/api/v1/user/watchlist/doge", |request| request).await.assert(204);
    market.coinmarketcap.say_at(
        OF_COINMARKETCAP,
        changed("cmc_v3_listings_latest_gbp", |body| {
            let rows = body["data"].as_array().unwrap().clone();
            let dogecoin = rows.into_iter().find(|row| row["symbol"] == "DOGE").unwrap();
            body["data"] = json!({"74": dogecoin, "75": null});
        }),
    );
    market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
        body["data"].as_array_mut().unwrap().truncate(3);
    })]);
    admin.post_empty(SYNC).await.assert(202);
    eventually("dogecoin", async || user.get(&format!("{COINS}/doge")).await.status == 200).await;
    assert!(market.coinmarketcap.count_requests("/v3/cryptocurrency/quotes/latest?id=74&convert=GBP") > 0);
    assert_eq!(symbols(&user.get(COINS).await.json()).len(), 3);
}
