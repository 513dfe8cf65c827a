//! Counts the simulated posts of the time before the first reading, so that trends can be compared from the start.
//!
//! Posts of the last day are read one by one; older ones would only be counted, so only their numbers are computed. The
//! same happens after a pause of more than a day.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Text, Timestamptz},
};
use tokio::task::spawn_blocking;

use super::{
    collect::Collector,
    queries::Target,
    sources::{SIMULATED, cursor_of, time_of},
    store,
};
use crate::{
    db::{CoinId, DbError},
    simulation::{PostHour, World},
};

const HOUR: TimeDelta = TimeDelta::hours(1);
/// Posts of this time, and of the begun hour, are read.
const READ: TimeDelta = TimeDelta::hours(24);
/// Trends compare 24 hours with a week before. They end an hour earlier if this hour has just begun.
const COUNTED: TimeDelta = TimeDelta::hours(8 * 24 + 1);

/// The hours of a coin that are counted.
type Hours = (CoinId, Vec<PostHour>);

impl Collector {
    /// Counts the posts about each coin since its last reading, or of eight days, but for those that are still read.
    pub(super) async fn count_past(&self, world: World, targets: &[Target]) -> Result<(), DbError> {
        let now = self.clock.now().duration_trunc(HOUR).expect("an hour of our time");
        let (since, until) = (now - COUNTED, now - READ);
        let cursors = self.db.query(|conn| store::cursors(conn, SIMULATED)).await?;
        let last = |coin| cursors.get(&coin).and_then(|cursor| time_of(cursor));
        let missing: HashMap<CoinId, (String, DateTime<Utc>)> = targets
            .iter()
            .map(|target| {
                (target.id, (target.slug.clone(), last(target.id).map_or(since, |at| at.max(since))))
            })
            .filter(|(_, (_, from))| *from < until)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let hours_of = move |(coin, (slug, from)): (CoinId, (String, DateTime<Utc>))| {
            let hours = world.post_hours(&slug, from, until);
            (!hours.is_empty()).then_some((coin, hours))
        };
        let hours = spawn_blocking(move || missing.into_iter().filter_map(hours_of).collect::<Vec<Hours>>());
        let hours = hours.await.expect("the computation does not panic");
        self.db.query_tx(move |conn| save(conn, &hours, since, until)).await
    }
}

/// Stores the numbers of whole hours, and that the coins are read until then. Needs a transaction, because rows without a
/// cursor would stay when the simulation ends.
fn save(
    conn: &mut PgConnection,
    hours: &[Hours],
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<()> {
    let ids: Vec<CoinId> = hours.iter().map(|(coin, _)| *coin).collect();
    let rows = || hours.iter().flat_map(|(coin, hours)| hours.iter().map(|hour| (*coin, *hour)));
    sql_query(
        "INSERT INTO social_hours AS h (coin_id, source, step_seconds, at, posts, authors) \
         SELECT coin_id, $1, 3600, at, posts, authors FROM unnest($2, $3, $4, $5) AS new (coin_id, at, posts, authors) \
         ON CONFLICT ON CONSTRAINT social_hours_pkey DO UPDATE \
         SET posts = excluded.posts, authors = excluded.authors",
    )
    .bind::<Text, _>(SIMULATED)
    .bind::<Array<BigInt>, _>(rows().map(|(coin, _)| coin).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows().map(|(_, hour)| hour.at).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows().map(|(_, hour)| i64::from(hour.posts)).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows().map(|(_, hour)| i64::from(hour.authors)).collect::<Vec<_>>())
    .execute(conn)?;
    sql_query(
        "INSERT INTO social_cursors (source, coin_id, cursor, covered_since, covered_until) \
         SELECT $1, coin_id, $3, $4, $5 FROM unnest($2) AS coin_id \
         ON CONFLICT (source, coin_id) DO UPDATE \
         SET cursor = excluded.cursor, covered_until = excluded.covered_until",
    )
    .bind::<Text, _>(SIMULATED)
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Text, _>(cursor_of(until))
    .bind::<Timestamptz, _>(since)
    .bind::<Timestamptz, _>(until)
    .execute(conn)?;
    Ok(())
}
