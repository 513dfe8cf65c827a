//! Finds the coins that users follow: on a watch list, with an alert, or in a portfolio.

use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt},
};

use crate::db::CoinId;

/// Returns coins besides these ones, in the order of their votes: each user has one, which is shared among the coins that they
/// follow, so that a user who follows hundreds of coins does not displace those of others.
pub fn followed(conn: &mut PgConnection, besides: &[CoinId], limit: u32) -> QueryResult<Vec<CoinId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT coin_id FROM ( \
             SELECT coin_id, 1.0 / count(*) OVER (PARTITION BY user_id) AS share FROM ( \
                 SELECT user_id, coin_id FROM watchlist UNION SELECT user_id, coin_id FROM alerts \
                 UNION SELECT user_id, coin_id FROM portfolio_transactions) AS follower \
             WHERE coin_id <> ALL($1)) AS vote \
         GROUP BY coin_id ORDER BY sum(share) DESC, coin_id LIMIT $2",
    )
    .bind::<Array<BigInt>, _>(besides)
    .bind::<BigInt, _>(i64::from(limit))
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.coin_id).collect())
}
