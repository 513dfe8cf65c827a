//! Counts wrong passwords and codes over all accounts, and logs a warning if there are many.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::{
    clock::Clock,
    telemetry::{Exposition, MetricType},
};

const HOUR: TimeDelta = TimeDelta::hours(1);

/// The wrong passwords and codes over all accounts, on this server. An attack on many accounts at once stays within the
/// limits of each, but shows here.
pub struct WrongGuesses {
    clock: Clock,
    passwords: Guesses,
    codes: Guesses,
}

struct Guesses {
    name: &'static str,
    /// The number within an hour that is too many for typing errors.
    suspicious: u64,
    total: AtomicU64,
    /// When the current hour began, and the number of guesses in it.
    hour: Mutex<(DateTime<Utc>, u64)>,
}

impl WrongGuesses {
    pub fn new(clock: Clock) -> Self {
        Self { clock, passwords: Guesses::new("password", 1000), codes: Guesses::new("code", 100) }
    }

    pub fn count_password(&self) {
        self.passwords.count(self.clock.now());
    }

    pub fn count_code(&self) {
        self.codes.count(self.clock.now());
    }

    pub fn write(&self, metrics: &mut Exposition) {
        let name = "mintage_wrong_guesses_total";
        let help = "Wrong passwords and wrong codes of mails, over all accounts.";
        let family = metrics.family(name, MetricType::Counter, help);
        for guesses in [&self.passwords, &self.codes] {
            family.sample(&[("kind", guesses.name)], guesses.total.load(Ordering::Relaxed));
        }
    }
}

impl Guesses {
    fn new(name: &'static str, suspicious: u64) -> Self {
        Self { name, suspicious, total: AtomicU64::default(), hour: Mutex::default() }
    }

    /// Counts a guess and warns at most once an hour. Returns the number in the current hour.
    fn count(&self, now: DateTime<Utc>) -> u64 {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut hour = self.hour.lock();
        if (now - hour.0).abs() >= HOUR {
            *hour = (now, 0);
        }
        hour.1 += 1;
        if hour.1 == self.suspicious {
            let (kind, count) = (self.name, self.suspicious);
            tracing::warn!(
                kind,
                count,
                "many wrong guesses over all accounts within an hour: possible attack"
            );
        }
        hour.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_the_hour() {
        let guesses = Guesses::new("code", 100);
        let begin = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        assert_eq!([0, 30, 59].map(|minutes| guesses.count(begin + TimeDelta::minutes(minutes))), [1, 2, 3]);
        assert_eq!(guesses.count(begin + HOUR), 1);
        assert_eq!(guesses.total.load(Ordering::Relaxed), 4);
    }
}
