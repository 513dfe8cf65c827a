//! The time, as a parameter: production reads the system clock, a test moves its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

/// The system clock, shifted by what [`Clock::advance`] added (nothing, outside tests).
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_micros: Arc<AtomicI64>,
}

impl Clock {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::microseconds(self.ahead_micros.load(Ordering::Relaxed))
    }

    /// Moves this clock, and every clone of it, into the future.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.ahead_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The latest multiple of the interval, counted from 1970: when the slot that is now began.
///
/// # Panics
/// If the interval is zero or longer than 290,000 years.
#[must_use]
pub fn start_of_slot(now: DateTime<Utc>, interval: Duration) -> DateTime<Utc> {
    let micros = i64::try_from(interval.as_micros()).expect("within 290,000 years");
    let start = now.timestamp_micros().div_euclid(micros) * micros;
    DateTime::from_timestamp_micros(start).expect("not after now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_start_at_multiples_of_the_interval() {
        let slot = |interval| start_of_slot("2026-11-20T10:07:31.5Z".parse().expect("time"), interval);
        assert_eq!(slot(Duration::from_mins(5)).to_rfc3339(), "2026-11-20T10:05:00+00:00");
        assert_eq!(slot(Duration::from_hours(1)).to_rfc3339(), "2026-11-20T10:00:00+00:00");
        assert_eq!(slot(Duration::from_secs(1)).to_rfc3339(), "2026-11-20T10:07:31+00:00");
    }
}
