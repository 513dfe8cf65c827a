//! Finds coins by id, slug or symbol.

use diesel::{
    PgConnection, QueryResult,
    dsl::sql,
    prelude::*,
    sql_types::{Bool, Text},
};

use super::super::model::Identity;
use crate::db::{CoinId, schema::coins};

/// Symbols are not unique; a longer list would not help to choose.
const MAX_COINS: i64 = 20;

pub fn find_coin(conn: &mut PgConnection, id: CoinId) -> QueryResult<Option<Identity>> {
    coins::table.find(id).select(Identity::as_select()).first(conn).optional()
}

/// Returns the coins with this id, slug or symbol; `name` is in lower case.
pub fn find_coins(conn: &mut PgConnection, id: Option<CoinId>, name: &str) -> QueryResult<Vec<Identity>> {
    let by_symbol = sql::<Bool>("lower(symbol) = ").bind::<Text, _>(name);
    coins::table
        .filter(coins::id.nullable().eq(id).or(coins::slug.eq(name)).or(by_symbol))
        .order(coins::id)
        .limit(MAX_COINS)
        .select(Identity::as_select())
        .load(conn)
}
