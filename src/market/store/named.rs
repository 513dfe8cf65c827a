//! Coins by what they are called.

use diesel::{PgConnection, QueryResult, dsl::sql, prelude::*, sql_types::Bool};

use super::super::model::Identity;
use crate::db::schema::coins;

/// More than this of one name would help nobody to choose.
const MOST: i64 = 20;

/// With this id, slug or symbol (in lower case).
pub fn named(conn: &mut PgConnection, id: Option<i64>, name: &str) -> QueryResult<Vec<Identity>> {
    let by_symbol = sql::<Bool>("lower(symbol) = ").bind::<diesel::sql_types::Text, _>(name);
    coins::table
        // Ids begin with 1.
        .filter(coins::id.eq(id.unwrap_or_default()).or(coins::slug.eq(name)).or(by_symbol))
        .order(coins::id)
        .limit(MOST)
        .select((coins::id, coins::symbol, coins::name, coins::slug))
        .load(conn)
}
