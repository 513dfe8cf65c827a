//! Finds coins by id, slug or symbol.

use diesel::{PgConnection, QueryResult, dsl::sql, prelude::*, sql_types::Bool};

use super::super::model::Identity;
use crate::db::{CoinId, schema::coins};

/// Symbols are not unique; a longer list would not help to choose.
const MAX_COINS: i64 = 20;

/// Returns the coins with this id, slug or symbol; `name` is in lower case.
pub fn named(conn: &mut PgConnection, id: Option<CoinId>, name: &str) -> QueryResult<Vec<Identity>> {
    let by_symbol = sql::<Bool>("lower(symbol) = ").bind::<diesel::sql_types::Text, _>(name);
    coins::table
        // Ids begin with 1, so 0 matches none.
        .filter(coins::id.eq(id.unwrap_or(CoinId(0))).or(coins::slug.eq(name)).or(by_symbol))
        .order(coins::id)
        .limit(MAX_COINS)
        .select((coins::id, coins::symbol, coins::name, coins::slug))
        .load(conn)
}
