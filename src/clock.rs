//! The time, given as a parameter.
//!
//! All servers on one database use the time of PostgreSQL, so that they agree about what has expired and a wrong system
//! clock does no harm. [`Clock::set`] takes the time of PostgreSQL's clock; from then on the time advances with the
//! monotonic clock. Until it is called, the time is the system's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Smaller differences are not corrected, since the measurement has an error of half a round trip.
const TOLERANCE_MICROS: u64 = 500_000;
/// A system clock that differs by more is reported.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(30);
const UNSET: i64 = i64::MIN;

/// PostgreSQL's clock; all clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    /// PostgreSQL's time at `origin`, in microseconds since 1970, or [`UNSET`].
    at_origin: AtomicI64,
    system_is_wrong: AtomicBool,
    /// The sum of [`Clock::advance`], in microseconds.
    ahead: AtomicI64,
    /// The sum of [`Clock::jump_system`], in microseconds.
    system_ahead: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Shared {
            origin: Instant::now(),
            at_origin: AtomicI64::new(UNSET),
            system_is_wrong: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
            system_ahead: AtomicI64::new(0),
        }))
    }
}

impl Clock {
    pub fn now(&self) -> DateTime<Utc> {
        let at_origin = self.0.at_origin.load(Ordering::Relaxed);
        let by_database = (at_origin != UNSET)
            .then(|| DateTime::from_timestamp_micros(at_origin.saturating_add(self.elapsed())))
            .flatten();
        by_database.unwrap_or_else(|| self.system()) + self.ahead()
    }

    /// The earlier of this clock and the system's. Used where data is deleted or declared expired for good, so that one
    /// clock that is ahead by mistake does no harm.
    pub fn earliest(&self) -> DateTime<Utc> {
        self.now().min(self.system() + self.ahead())
    }

    /// Whether [`Clock::set`] was called.
    pub fn is_set(&self) -> bool {
        self.0.at_origin.load(Ordering::Relaxed) != UNSET
    }

    /// Sets the clock to PostgreSQL's current time, unless the difference is within the error of measurement. If the
    /// system clock now differs by more than 30 seconds and did not before, returns how far it is ahead.
    pub fn set(&self, shown: DateTime<Utc>) -> Option<TimeDelta> {
        let at_origin = shown.timestamp_micros().saturating_sub(self.elapsed());
        let before = self.0.at_origin.load(Ordering::Relaxed);
        if before == UNSET || before.abs_diff(at_origin) > TOLERANCE_MICROS {
            self.0.at_origin.store(at_origin, Ordering::Relaxed);
        }
        let off = self.system() - shown;
        let is_wrong = off.abs() > MAX_DIFFERENCE;
        let was_wrong = self.0.system_is_wrong.swap(is_wrong, Ordering::Relaxed);
        (is_wrong && !was_wrong).then_some(off)
    }

    /// For tests: moves this clock into the future.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.ahead.fetch_add(micros, Ordering::Relaxed);
    }

    /// For tests: moves the system clock forward or back.
    pub fn jump_system(&self, by: TimeDelta) {
        self.0.system_ahead.fetch_add(by.num_microseconds().unwrap_or_default(), Ordering::Relaxed);
    }

    fn ahead(&self) -> TimeDelta {
        TimeDelta::microseconds(self.0.ahead.load(Ordering::Relaxed))
    }

    /// Microseconds since `origin`.
    fn elapsed(&self) -> i64 {
        i64::try_from(self.0.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn system(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::microseconds(self.0.system_ahead.load(Ordering::Relaxed))
    }
}

/// The latest multiple of the interval, counted from 1970: when the slot that is now began.
///
/// # Panics
/// If the interval is zero or longer than 290,000 years.
pub fn start_of_slot(now: DateTime<Utc>, interval: Duration) -> DateTime<Utc> {
    let micros = i64::try_from(interval.as_micros()).expect("within 290,000 years");
    let start = now.timestamp_micros().div_euclid(micros) * micros;
    DateTime::from_timestamp_micros(start).expect("not after now")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn about(left: DateTime<Utc>, right: DateTime<Utc>) -> bool {
        (left - right).abs() < TimeDelta::minutes(1)
    }

    #[test]
    fn slots_start_at_multiples_of_the_interval() {
        let slot = |interval| start_of_slot("2026-11-20T10:07:31.5Z".parse().expect("time"), interval);
        assert_eq!(slot(Duration::from_mins(5)).to_rfc3339(), "2026-11-20T10:05:00+00:00");
        assert_eq!(slot(Duration::from_hours(1)).to_rfc3339(), "2026-11-20T10:00:00+00:00");
        assert_eq!(slot(Duration::from_secs(1)).to_rfc3339(), "2026-11-20T10:07:31+00:00");
    }

    #[test]
    fn once_set_it_does_not_follow_the_system_clock() {
        let clock = Clock::default();
        let right = clock.now();
        clock.jump_system(HOUR);
        assert!(about(clock.now(), right + HOUR), "nothing else is known yet");
        assert_eq!(clock.set(right).map(|off| off.num_minutes()), Some(60));
        assert!(about(clock.now(), right));
        clock.jump_system(HOUR * -3);
        assert!(about(clock.now(), right));
        assert!(about(clock.earliest(), right - HOUR * 2));
        clock.advance(Duration::from_hours(5));
        assert!(about(clock.now(), right + HOUR * 5));
        assert!(about(clock.earliest(), right + HOUR * 3));
    }

    #[test]
    fn it_follows_jumps_of_the_database_and_ignores_errors_of_measurement() {
        let clock = Clock::default();
        let right = clock.now();
        assert_eq!(clock.set(right), None);
        assert!(clock.set(right + HOUR).is_some() && clock.set(right + HOUR).is_none(), "reported once");
        assert!(about(clock.now(), right + HOUR));
        assert!(about(clock.earliest(), right));
        assert_eq!(clock.set(right), None);
        let before = clock.0.at_origin.load(Ordering::Relaxed);
        assert_eq!(clock.set(clock.now() + TimeDelta::milliseconds(400)), None);
        assert_eq!(clock.0.at_origin.load(Ordering::Relaxed), before);
    }
}
