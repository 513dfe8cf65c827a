//! Reads the prices of the last 7 days of all coins at once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Integer, Text, Timestamptz},
};

use super::history::{SNAPSHOTS, Step, rolled_until};
use crate::db::CoinId;

/// Hours, with the one that has not ended.
const MAX_POINTS: i32 = 168;

/// Returns the last price of each hour of these coins up to a time, the oldest first. Hours without a price are left out.
pub(super) fn sparklines(
    conn: &mut PgConnection,
    coins: &[CoinId],
    currency: &str,
    until: DateTime<Utc>,
) -> QueryResult<HashMap<CoinId, Vec<f64>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = Array<Double>)]
        closes: Vec<f64>,
    }
    let step = Step::Hour;
    let end = step.floor(until) + step.length();
    let start = end - step.length() * MAX_POINTS;
    let rolled_until = rolled_until(conn, step)?.unwrap_or(end);
    let rows: Vec<Row> = sql_query(format!(
        "SELECT coin_id, array_agg(close ORDER BY at) AS closes FROM ( \
             SELECT coin_id, at, close FROM coin_history \
             WHERE coin_id = ANY($1) AND currency = $2 AND step_seconds = $3 \
                 AND at >= $4 AND at < $5 AND at < $6 \
             UNION ALL \
             SELECT q.coin_id, to_timestamp(floor(extract(epoch FROM s.as_of) / $3) * $3), \
                 (array_agg(q.price * r.rate ORDER BY s.as_of DESC, s.id DESC) \
                     FILTER (WHERE q.price IS NOT NULL))[1] \
             {SNAPSHOTS} AND q.coin_id = ANY($1) AND r.currency = $2 \
                 AND s.as_of >= greatest($4, $6) AND s.as_of < $5 \
             GROUP BY 1, 2 \
         ) hours (coin_id, at, close) WHERE close IS NOT NULL GROUP BY coin_id"
    ))
    .bind::<Array<BigInt>, _>(coins)
    .bind::<Text, _>(currency)
    .bind::<Integer, _>(step.seconds())
    .bind::<Timestamptz, _>(start)
    .bind::<Timestamptz, _>(end)
    .bind::<Timestamptz, _>(rolled_until)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.coin_id, row.closes)).collect())
}
