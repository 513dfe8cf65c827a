//! What a slot brought: the market in one commit, and in a second one what comes later.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, prelude::*, sql_query};

use super::{
    super::{model::Market, providers::demo},
    CHANNEL,
    slots::{Claim, finish, postpone},
    snapshots::{insert, lock},
};
use crate::{db::schema::coin_snapshots, upstream::record_success};

/// How much older than what is served another provider's data may be; they renew it every one to
/// five minutes.
const OLDER_ELSEWHERE: TimeDelta = TimeDelta::minutes(15);

/// Writes the newest snapshot, ends the slot and tells every replica; the caller's transaction
/// makes that one commit. The snapshot's id, or none when the slot has gone to another replica. The slot is held for
/// longer if something is to be added to the snapshot ([`complete`]).
pub fn publish(
    conn: &mut PgConnection,
    claim: &Claim,
    market: &Market,
    now: DateTime<Utc>,
    hold_until: Option<DateTime<Utc>>,
) -> QueryResult<Option<i64>> {
    lock(conn)?;
    if !finish(conn, claim, market.provider, now, hold_until)? {
        return Ok(None);
    }
    let snapshot_id = insert(conn, market, now)?;
    record_success(conn, market.provider, now)?;
    sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    Ok(Some(snapshot_id))
}

/// Gives a slot back whose snapshot is there already, and tells every replica that more stands beside it now. False when
/// the slot has gone to another replica: then nothing must be added.
pub fn complete(conn: &mut PgConnection, claim: &Claim, now: DateTime<Utc>) -> QueryResult<bool> {
    let held = postpone(conn, claim, now)?;
    if held {
        sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    }
    Ok(held)
}

/// Whether the report is from before what is there. What is of a time to come does not count: a clock
/// was wrong, and nothing would ever be newer.
pub fn is_older(
    conn: &mut PgConnection,
    provider: &str,
    currency: &str,
    as_of: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let newest = coin_snapshots::table
        .filter(coin_snapshots::currency.eq(currency).and(coin_snapshots::as_of.le(now)))
        .select(diesel::dsl::max(coin_snapshots::as_of));
    let own: Option<DateTime<Utc>> = newest.filter(coin_snapshots::provider.eq(provider)).first(conn)?;
    let any: Option<DateTime<Utc>> = newest.filter(coin_snapshots::provider.ne(demo::NAME)).first(conn)?;
    Ok(own.is_some_and(|own| own > as_of) || any.is_some_and(|any| any > as_of + OLDER_ELSEWHERE))
}
