//! Deletes old data in small parts, and never before it is rolled up.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Integer, Text, Timestamptz},
};

use super::{
    super::providers::simulation::NAMES,
    history::{KEEP_HOURS, KEEP_SNAPSHOTS, Step, done_until},
    simulation::is_simulated,
};
use crate::db::{
    SnapshotId,
    schema::{coin_snapshots, sync_slots},
};

/// More than are added between two runs, and few enough to stay far below the statement timeout.
const MAX_SNAPSHOTS_PER_RUN: i64 = 20;

/// Deletes data that is older than its retention time, except the newest snapshots, which may still be served.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    let limit = |keep: TimeDelta, rolled: Option<DateTime<Utc>>| {
        rolled.unwrap_or(DateTime::UNIX_EPOCH).min(now - keep)
    };
    // A day that has not ended is read from its snapshots.
    let rolled = done_until(conn, Step::Hour)?.min(done_until(conn, Step::Day)?);
    let newest: Vec<SnapshotId> = coin_snapshots::table
        .group_by((coin_snapshots::provider, coin_snapshots::currency))
        .select(diesel::dsl::max(coin_snapshots::id).assume_not_null())
        .load(conn)?;
    let old: Vec<SnapshotId> = coin_snapshots::table
        .filter(coin_snapshots::as_of.lt(limit(KEEP_SNAPSHOTS, rolled)))
        .filter(coin_snapshots::id.ne_all(newest))
        .order(coin_snapshots::id)
        .limit(MAX_SNAPSHOTS_PER_RUN)
        .select(coin_snapshots::id)
        .load(conn)?;
    diesel::delete(coin_snapshots::table.filter(coin_snapshots::id.eq_any(old))).execute(conn)?;
    if let (true, Some(rolled)) = (is_simulated(conn)?, done_until(conn, Step::Hour)?) {
        thin_simulated(conn, rolled)?;
    }
    diesel::delete(sync_slots::table.filter(sync_slots::slot.lt(now - KEEP_SNAPSHOTS))).execute(conn)?;
    // One hour per run: it has a row per coin and currency.
    sql_query(
        "DELETE FROM coin_history WHERE step_seconds = $1 AND at = ( \
             SELECT min(at) FROM coin_history WHERE step_seconds = $1 AND at < $2)",
    )
    .bind::<Integer, _>(Step::Hour.seconds())
    .bind::<Timestamptz, _>(limit(KEEP_HOURS, done_until(conn, Step::Day)?))
    .execute(conn)?;
    Ok(())
}

/// Deletes simulated snapshots of hours that are rolled up, all but the last of every five minutes: slots of simulated data
/// are short, and would fill the tables.
fn thin_simulated(conn: &mut PgConnection, rolled: DateTime<Utc>) -> QueryResult<()> {
    sql_query(
        "DELETE FROM coin_snapshots WHERE id IN ( \
             SELECT id FROM ( \
                 SELECT id, as_of, lead(as_of) OVER (ORDER BY as_of, id) AS next \
                 FROM coin_snapshots WHERE provider = ANY($1) AND as_of < $2) AS s \
             WHERE floor(extract(epoch FROM next) / $3) = floor(extract(epoch FROM as_of) / $3) \
             ORDER BY as_of, id LIMIT $4)",
    )
    .bind::<Array<Text>, _>(NAMES.to_vec())
    .bind::<Timestamptz, _>(rolled)
    .bind::<Integer, _>(Step::FiveMinutes.seconds())
    .bind::<BigInt, _>(MAX_SNAPSHOTS_PER_RUN)
    .execute(conn)?;
    Ok(())
}
