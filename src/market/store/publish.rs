//! Publishes the result of a slot.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, prelude::*, sql_query};

use super::{
    super::{
        identity::Identities,
        model::Market,
        providers::{demo, simulation},
    },
    CHANNEL,
    slots::{Claim, finish},
    snapshots::{insert, lock},
};
use crate::{
    db::{SnapshotId, schema::coin_snapshots},
    upstream::record_success,
};

/// Data of another provider may be older than the served data by this. Providers renew theirs every one to five minutes.
const MAX_STEP_BACK: TimeDelta = TimeDelta::minutes(15);

/// Data of the same provider may be older by this. The median of the times of its coins steps back a little when a coin
/// leaves the list, or when another server of the provider answers, which is no failure.
const MAX_OWN_STEP_BACK: TimeDelta = TimeDelta::minutes(2);

/// Writes the newest snapshot, ends the slot and notifies every replica, in the caller's transaction. Returns the
/// snapshot's id, or None if another replica has taken over the slot.
pub fn publish(
    conn: &mut PgConnection,
    claim: &Claim,
    market: &Market,
    identities: &Identities,
    now: DateTime<Utc>,
) -> QueryResult<Option<SnapshotId>> {
    lock(conn)?;
    if !finish(conn, claim, market.provider, now)? {
        return Ok(None);
    }
    let snapshot_id = insert(conn, market, identities, now)?;
    record_success(conn, market.provider, now)?;
    announce(conn)?;
    Ok(Some(snapshot_id))
}

/// Notifies every replica that the newest snapshot has changed, when the transaction is committed.
pub fn announce(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    Ok(())
}

/// Whether a report is older than the stored data. Stored times in the future do not count: they come from a wrong clock,
/// and no report would ever be newer.
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
    let any: Option<DateTime<Utc>> = newest
        .filter(
            coin_snapshots::provider.ne(demo::NAME).and(coin_snapshots::provider.ne_all(simulation::NAMES)),
        )
        .first(conn)?;
    Ok(own.is_some_and(|own| own > as_of + MAX_OWN_STEP_BACK)
        || any.is_some_and(|any| any > as_of + MAX_STEP_BACK))
}
