//! Snapshots of the past, so that there is a history.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Double, Nullable, Timestamptz},
};

use serde_json::Value;

use super::{App, Client, begin_minutes, market::COINS};

/// Stores a snapshot of bitcoin; `coin` is its id.
pub fn insert(app: &App, coin: i64, at: DateTime<Utc>, price: f64, sentiment: Option<f64>) {
    sql_query(
        "WITH s AS (INSERT INTO coin_snapshots (provider, currency, as_of, fetched_at) \
             VALUES ('coingecko', 'GBP', $1, $1) RETURNING id), \
         r AS (INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at) SELECT id, 'GBP', 1, $1 FROM s) \
         INSERT INTO coin_quotes (snapshot_id, coin_id, rank, price, sentiment, popularity) \
         SELECT id, $2, 1, $3, $4, 1 FROM s",
    )
    .bind::<Timestamptz, _>(at)
    .bind::<BigInt, _>(coin)
    .bind::<Double, _>(price)
    .bind::<Nullable<Double>, _>(sentiment)
    .execute(&mut app.sql())
    .expect("snapshot");
}

/// Stores a day of snapshots until now with a gap of an hour, and returns bitcoin's id. Five minutes begin now.
pub async fn with_a_day(app: &App, user: &Client) -> (i64, DateTime<Utc>) {
    let body = user.get(&format!("{COINS}/btc")).await.assert(200).json();
    let coin = body["data"]["id"].as_i64().unwrap();
    begin_minutes(&app.clock, 5);
    let now = app.clock.now();
    for n in (0..288).filter(|n| !(100..112).contains(n)) {
        let price = 70_000.0 + 1000.0 * (f64::from(n) / 20.0).sin();
        insert(app, coin, now - TimeDelta::minutes(5) * (287 - n), price, Some(0.1));
    }
    (coin, now)
}

pub fn points(body: &Value) -> &Vec<Value> {
    body["data"].as_array().unwrap()
}
