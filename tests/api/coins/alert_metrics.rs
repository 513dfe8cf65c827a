//! Alerts on volumes, changes in percent and the value of a portfolio.

use serde_json::{Value, json};

use crate::support::{
    App, Client, eventually,
    market::{COINS, Market, SYNC, changed, from},
    upstream::Reply,
};

const PATH: &str = "/api/v1/user/alerts";
const TRANSACTIONS: &str = "/api/v1/user/portfolio/transactions";

async fn with_market(settings: &[(&str, &str)]) -> (Market, App, Client) {
    let market = Market::start().await;
    let rates = json!({"bitcoin": {"gbp": 100, "gbp_24h_change": -4.0, "usd": 125, "usd_24h_change": 1.0}});
    market.coingecko.say_at("/api/v3/simple/price", Reply::Http(200, "", rates.to_string().into_bytes()));
    let app = market.app("coingecko", settings);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    (market, app, admin)
}

/// Has a sync find these numbers of a coin, the first one by a price that no other sync has, and waits until it is served.
async fn sync(market: &Market, admin: &Client, coin: usize, price: f64, more: &[(&str, Value)]) {
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[coin]["current_price"] = price.into();
        for (name, value) in more {
            coins[coin][name] = value.clone();
        }
    })]);
    admin.post_empty(SYNC).await.assert(202);
    eventually("the price", async || {
        let coins = admin.get(COINS).await.json();
        coins["data"].as_array().unwrap().iter().any(|coin| coin["price"].as_f64() == Some(price))
    })
    .await;
}

async fn create(user: &Client, body: &Value) -> Value {
    user.post(PATH, body).await.assert(201).json()
}

#[tokio::test]
async fn a_change_in_percent_and_a_volume_can_cross_a_threshold() {
    let (market, app, admin) = with_market(&[]).await;
    let user = app.confirmed_user().await;
    let change = "price_change_percentage_24h_in_currency";
    let alert =
        json!({"coin": "btc", "metric": "percent_change_24h", "direction": "below", "threshold": -10});
    let made = create(&user, &alert).await;
    assert_eq!(
        (&made["currency"], &made["hysteresis"], &made["armed"]),
        (&json!("GBP"), &json!(1.0), &json!(true))
    );
    for (price, percent, expected) in [
        (70_001.0, -9.99, None),
        (70_002.0, -10.0, Some("\u{2212}10.00%")),
        (70_003.0, -12.0, None),
        (70_004.0, -9.5, None),
        (70_005.0, -10.5, None),
        (70_006.0, -9.0, None),
        (70_007.0, -10.25, Some("\u{2212}10.25%")),
    ] {
        sync(&market, &admin, 0, price, &[(change, percent.into())]).await;
        let mails = app.mails_to(&user.email).await;
        assert_eq!(mails.len(), usize::from(expected.is_some()), "at {percent}");
        if let Some(expected) = expected {
            assert_eq!(mails[0].subject, "Bitcoin: 24-hour change below \u{2212}10%");
            assert!(
                mails[0].text.contains(&format!("it is {expected}, which is below")),
                "{}",
                mails[0].text
            );
        }
    }
    let volume =
        json!({"coin": "btc", "metric": "volume_24h", "direction": "above", "threshold": 2e11, "once": true});
    create(&user, &volume).await;
    sync(&market, &admin, 0, 70_008.0, &[("total_volume", 250_000_000_000.0.into())]).await;
    let mail = app.mail_to(&user.email).await;
    assert_eq!(mail.subject, "Bitcoin: 24-hour volume above \u{a3}200,000,000,000");
}

#[tokio::test]
async fn an_alert_in_another_currency_compares_what_is_served_in_it() {
    let (market, app, admin) = with_market(&[("COINS_CURRENCIES", "GBP,USD")]).await;
    let user = app.confirmed_user().await;
    let served =
        async || user.get(&format!("{COINS}/btc?currency=USD")).await.assert(200).json()["data"].clone();
    eventually("a change in dollars", async || served().await["percent_change_24h"].is_f64()).await;
    let now = served().await;
    for metric in ["volume_24h", "percent_change_24h"] {
        let value = now[metric].as_f64().unwrap();
        for (direction, factor) in [("above", 1e-7), ("below", -1e-7)] {
            let threshold = value + value.abs() * factor;
            let body = json!({"coin": "btc", "metric": metric, "currency": "USD", "direction": direction, "threshold": threshold});
            assert_eq!(create(&user, &body).await["armed"], true, "{metric} {value} {direction} {threshold}");
            let threshold = value - value.abs() * factor;
            let body = json!({"coin": "btc", "metric": metric, "currency": "USD", "direction": direction, "threshold": threshold});
            assert_eq!(
                create(&user, &body).await["armed"],
                false,
                "{metric} {value} {direction} {threshold}"
            );
        }
    }
    // No number of bitcoin changes.
    sync(&market, &admin, 1, 4321.0, &[]).await;
    assert!(app.mails_to(&user.email).await.is_empty());
}

#[tokio::test]
async fn the_value_of_a_portfolio_can_cross_a_threshold() {
    let (market, app, admin) = with_market(&[]).await;
    let (user, other) = (app.confirmed_user().await, app.confirmed_user().await);
    let body = json!({"metric": "portfolio_value", "direction": "above", "threshold": 160_000});
    assert_eq!(create(&user, &body).await["armed"], true, "nothing is held, which has no value");
    create(&other, &body).await;
    for (kind, amount) in [("buy", "3"), ("sell", "1")] {
        let body =
            json!({"coin": "btc", "kind": kind, "amount": amount, "total": "1000", "day": "2026-01-01"});
        user.post(TRANSACTIONS, &body).await.assert(201);
    }
    let made = user.get(PATH).await.json()["data"][0].clone();
    assert_eq!(
        (&made["coin"], &made["currency"], &made["metric"]),
        (&Value::Null, &json!("GBP"), &json!("portfolio_value"))
    );
    assert_eq!(
        create(&user, &json!({"metric": "portfolio_value", "direction": "above", "threshold": 140_000}))
            .await["armed"],
        false
    );
    sync(&market, &admin, 0, 79_999.0, &[]).await;
    assert!(app.mails_to(&user.email).await.is_empty());
    sync(&market, &admin, 0, 80_000.0, &[]).await;
    let mails = app.mails_to(&user.email).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "Your portfolio: value above \u{a3}160,000");
    assert!(mails[0].text.contains("it is \u{a3}160,000, which is above"), "{}", mails[0].text);
    assert!(app.mails_to(&other.email).await.is_empty(), "they hold nothing");

    // A coin without a price makes the value unknown, also if the rest alone is beyond the threshold.
    let body = json!({"coin": "eth", "kind": "buy", "amount": "1", "total": "1", "day": "2026-01-01"});
    user.post(TRANSACTIONS, &body).await.assert(201);
    let below = json!({"metric": "portfolio_value", "direction": "below", "threshold": 100_000});
    assert_eq!(create(&user, &below).await["armed"], true);
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[0]["current_price"] = 10_000.into();
        coins.as_array_mut().unwrap().retain(|coin| coin["symbol"] != "eth");
    })]);
    admin.post_empty(SYNC).await.assert(202);
    eventually("the price", async || {
        admin.get(&format!("{COINS}/btc")).await.json()["data"]["price"].as_f64() == Some(10_000.0)
    })
    .await;
    assert!(app.mails_to(&user.email).await.is_empty());
}
