//! Snapshots of the past, so that there is a history.

use chrono::{DateTime, Utc};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Double, Nullable, Timestamptz},
};

use super::App;

/// What a snapshot said of bitcoin; `coin` is its id.
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
