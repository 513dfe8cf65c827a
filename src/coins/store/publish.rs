//! What a slot brought, in one commit.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, prelude::*, sql_query};

use super::{
    super::model::Market,
    CHANNEL,
    services::record_success,
    slots::{Claim, finish},
    snapshots::{insert, lock},
};
use crate::{config::Provider, db::schema::coin_snapshots};

/// How much older than what is served another provider's data may be; they renew it every one to
/// five minutes.
const OLDER_ELSEWHERE: TimeDelta = TimeDelta::minutes(15);

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Published {
    /// As this snapshot.
    Yes(i64),
    /// The slot has gone to another replica.
    Superseded,
    /// It is from before the snapshot that is there.
    Older,
}

/// Writes the newest snapshot, ends the slot and tells every replica; the caller's transaction
/// makes that one commit.
pub(in super::super) fn publish(
    conn: &mut PgConnection,
    claim: &Claim,
    market: &Market,
    now: DateTime<Utc>,
) -> QueryResult<Published> {
    lock(conn)?;
    let provider = market.provider.name();
    if is_older(conn, market)? {
        return Ok(Published::Older);
    }
    if !finish(conn, claim, provider, now)? {
        return Ok(Published::Superseded);
    }
    let snapshot_id = insert(conn, market, now)?;
    record_success(conn, provider, now)?;
    sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    Ok(Published::Yes(snapshot_id))
}

fn is_older(conn: &mut PgConnection, market: &Market) -> QueryResult<bool> {
    let (provider, as_of) = (market.provider.name(), market.report.as_of);
    let newest = coin_snapshots::table
        .filter(coin_snapshots::currency.eq(&market.report.currency))
        .select(diesel::dsl::max(coin_snapshots::as_of));
    let own: Option<DateTime<Utc>> = newest.filter(coin_snapshots::provider.eq(provider)).first(conn)?;
    let any: Option<DateTime<Utc>> =
        newest.filter(coin_snapshots::provider.ne(Provider::Demo.name())).first(conn)?;
    Ok(own.is_some_and(|own| own > as_of) || any.is_some_and(|any| any > as_of + OLDER_ELSEWHERE))
}
