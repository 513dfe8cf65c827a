//! Sparklines in lists: `sparkline=true`, and `sparkline_7d` in `fields`.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{
    App, Client, begin_minutes, eventually,
    market::{COINS, Market, SYNC, from, until},
    noon,
    points::insert,
};

/// Stores a price of bitcoin in each hour of the last ten days but one, and requests a sync.
async fn with_hours(app: &App, admin: &Client) {
    let bitcoin = from(admin, "coingecko").await["data"][0]["id"].as_i64().unwrap();
    let hour = TimeDelta::hours(1);
    let now = app.clock.now();
    for number in (1..240).filter(|number| *number != 5) {
        insert(app, bitcoin, now - hour * number, f64::from(number), None);
    }
    // The last price of an hour counts.
    insert(app, bitcoin, now - hour - TimeDelta::seconds(1), 9999.0, None);
    admin.post_empty(SYNC).await.assert(202);
}

#[tokio::test]
async fn a_sparkline_has_the_last_price_of_each_hour_of_seven_days() {
    let market = Market::start().await;
    let clock = noon();
    begin_minutes(&clock, 60);
    clock.advance(std::time::Duration::from_mins(20));
    let app = market.app_at(clock, "coingecko", &[]);
    let admin = app.admin().await;
    with_hours(&app, &admin).await;
    let path = format!("{COINS}?sparkline=true");
    let body = until(&admin, &path, |body| {
        body["data"][0]["sparkline_7d"].as_array().is_some_and(|line| line.len() > 100)
    })
    .await;
    let expected: Vec<Value> = (1..168)
        .rev()
        .filter(|number| *number != 5)
        .map(|number| json!(f64::from(number)))
        .chain([json!(70211.4421)])
        .collect();
    assert_eq!(body["data"][0]["sparkline_7d"].as_array().unwrap(), &expected);
    // Of the others there is only the price of this hour.
    assert_eq!(body["data"][1]["sparkline_7d"], json!([2411.0831]));
    let without = admin.get(COINS).await.assert(200).json();
    assert!(without["data"][0].get("sparkline_7d").is_none(), "only on request");

    let some = admin.get(&format!("{COINS}?sparkline=true&symbols=btc")).await.assert(200).json();
    assert_eq!(some["data"], json!([body["data"][0]]));
    let sparse = admin.get(&format!("{COINS}/sparse?limit=1&fields=sparkline_7d")).await.assert(200).json();
    assert_eq!(
        sparse["data"][0],
        json!({"id": body["data"][0]["id"], "symbol": "BTC", "sparkline_7d": expected})
    );
    let table = admin.get("/api/v1/coins.csv?limit=2&fields=sparkline_7d").await.assert(200).text();
    assert!(table.lines().nth(2).is_some_and(|line| line.contains(",ETH,2411.0831,")), "{table}");
    let whole = admin.get("/api/v1/coins.csv?limit=1").await.assert(200).text();
    assert!(!whole.contains("sparkline"), "{whole}");
    for path in
        [format!("{COINS}/sparse?fields=price&sparkline=true"), "/api/v1/coins.csv?sparkline=true".into()]
    {
        admin.get(&path).await.assert_problem(400, "malformed-query");
    }
    admin.get(&format!("{COINS}?sparkline=perhaps")).await.assert_problem(400, "malformed-query");
}

#[tokio::test]
async fn hours_that_are_rolled_up_stay_in_the_sparkline() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let admin = app.admin().await;
    with_hours(&app, &admin).await;
    let hours = "SELECT count(*) FROM coin_history WHERE step_seconds = 3600 AND currency = 'GBP'";
    eventually("the roll-up", async || app.count(hours) >= 230).await;
    let path = format!("{COINS}?sparkline=true");
    let body = admin.get(&path).await.assert(200).json();
    let line = body["data"][0]["sparkline_7d"].as_array().unwrap().clone();
    assert!((166..=168).contains(&line.len()), "{line:?}");
    assert!(line.contains(&json!(60.0)) && line.contains(&json!(100.0)), "{line:?}");
}

#[tokio::test]
async fn without_history_a_sparkline_is_null() {
    let app = App::start();
    let body = app.user().await.get(&format!("{COINS}?sparkline=true")).await.assert(200).json();
    assert_eq!(body["data"][0].get("sparkline_7d"), Some(&Value::Null));
}
