//! The clock of PostgreSQL.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, RunQueryDsl, define_sql_function};

use crate::clock::Clock;

/// A slower answer does not tell what time it is now.
const SLOWEST: Duration = Duration::from_millis(500);

define_sql_function! {
    fn clock_timestamp() -> Timestamptz;
}

/// What PostgreSQL's clock shows.
///
/// # Errors
/// PostgreSQL does not answer.
pub fn now(conn: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(clock_timestamp()).get_result(conn)
}

/// Sets the clock by PostgreSQL's, and logs a warning when the system clock differs much.
///
/// # Errors
/// As [`now`].
pub fn set_clock(conn: &mut PgConnection, clock: &Clock) -> QueryResult<()> {
    let began = Instant::now();
    let shown = now(conn)?;
    let round_trip = began.elapsed();
    if round_trip > SLOWEST && clock.is_set() {
        return Ok(());
    }
    // On average it was read in the middle.
    let half = TimeDelta::from_std(round_trip / 2).unwrap_or_default();
    if let Some(off) = clock.set(shown + half) {
        tracing::warn!(
            seconds = off.num_seconds(),
            "the system clock is ahead of PostgreSQL's by so many seconds (negative: behind it); the server \
             goes by PostgreSQL's; set both by NTP"
        );
    }
    Ok(())
}
