//! Reads PostgreSQL's clock and sets the process's [`Clock`] by it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, RunQueryDsl, define_sql_function};

use crate::clock::Clock;

/// A slower answer is too inaccurate.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(500);

define_sql_function! {
    fn clock_timestamp() -> Timestamptz;
}

/// The time of PostgreSQL's clock.
pub fn now(conn: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(clock_timestamp()).get_result(conn)
}

/// Sets the clock by PostgreSQL's, and logs a warning if the system clock differs from it considerably.
pub fn set_clock(conn: &mut PgConnection, clock: &Clock) -> QueryResult<()> {
    let began = Instant::now();
    let shown = now(conn)?;
    let round_trip = began.elapsed();
    if round_trip > MAX_ROUND_TRIP && clock.is_set() {
        return Ok(());
    }
    // On average PostgreSQL read its clock in the middle.
    let half = TimeDelta::from_std(round_trip / 2).unwrap_or_default();
    if let Some(off) = clock.set(shown + half) {
        tracing::warn!(
            seconds = off.num_seconds(),
            "the system clock is ahead of PostgreSQL's by this many seconds (negative: behind). This server uses \
             PostgreSQL's time. Synchronise both by NTP"
        );
    }
    Ok(())
}
