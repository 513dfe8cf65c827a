//! Stores watch lists.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};

use crate::{
    db::{
        CoinId, UserId,
        schema::{coins, watchlist},
    },
    market::Identity,
    users,
};

/// Per user. No more coins than this are synced.
pub const MAX_COINS: i64 = 250;

/// The outcome of [`add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    Yes,
    Full,
    /// The account is gone.
    NoUser,
}

/// Adds a coin. Needs a transaction, in which the user's row is locked, so that concurrent requests stay within the limit.
pub fn add(conn: &mut PgConnection, user: UserId, coin: CoinId, now: DateTime<Utc>) -> QueryResult<Added> {
    if users::lock_for_counting(conn, user)?.is_none() {
        return Ok(Added::NoUser);
    }
    let added = diesel::insert_into(watchlist::table)
        .values((watchlist::user_id.eq(user), watchlist::coin_id.eq(coin), watchlist::added_at.eq(now)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    let count: i64 = watchlist::table.filter(watchlist::user_id.eq(user)).count().get_result(conn)?;
    if added > 0 && count > MAX_COINS {
        remove(conn, user, coin)?;
        return Ok(Added::Full);
    }
    Ok(Added::Yes)
}

pub fn remove(conn: &mut PgConnection, user: UserId, coin: CoinId) -> QueryResult<()> {
    diesel::delete(watchlist::table.find((user, coin))).execute(conn)?;
    Ok(())
}

/// Lists the coins in the order in which they were added.
pub fn list(conn: &mut PgConnection, user: UserId) -> QueryResult<Vec<(Identity, DateTime<Utc>)>> {
    watchlist::table
        .inner_join(coins::table)
        .filter(watchlist::user_id.eq(user))
        .order((watchlist::added_at, watchlist::coin_id))
        .select(((coins::id, coins::symbol, coins::name, coins::slug), watchlist::added_at))
        .load(conn)
}
