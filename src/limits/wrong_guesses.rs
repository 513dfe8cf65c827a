use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{clock::Clock, telemetry::Exposition};

/// So many wrong ones over all accounts within an hour are more than typing errors.
const SUSPICIOUS_CODES: u64 = 100;
const SUSPICIOUS_PASSWORDS: u64 = 1000;
const HOUR: TimeDelta = TimeDelta::hours(1);

/// Wrong passwords and codes over all accounts, on this server: an attack on many accounts at once
/// stays within the limits of each.
pub struct WrongGuesses {
    clock: Clock,
    passwords: Guesses,
    codes: Guesses,
}

#[derive(Default)]
struct Guesses {
    total: AtomicU64,
    /// When the current hour began, and how many there were in it.
    hour: Mutex<(DateTime<Utc>, u64)>,
}

impl WrongGuesses {
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, passwords: Guesses::default(), codes: Guesses::default() }
    }

    pub fn count_password(&self) {
        if self.passwords.count(self.clock.now()) == SUSPICIOUS_PASSWORDS {
            tracing::warn!(
                count = SUSPICIOUS_PASSWORDS,
                "so many wrong passwords over all accounts within an hour: somebody may be guessing"
            );
        }
    }

    pub fn count_code(&self) {
        if self.codes.count(self.clock.now()) == SUSPICIOUS_CODES {
            tracing::warn!(
                count = SUSPICIOUS_CODES,
                "so many wrong codes over all accounts within an hour: somebody may be guessing"
            );
        }
    }

    pub fn write(&self, text: &mut Exposition) {
        let name = "mintage_wrong_guesses_total";
        text.family(name, "counter", "Wrong passwords and wrong codes of mails, over all accounts.");
        for (kind, guesses) in [("password", &self.passwords), ("code", &self.codes)] {
            text.sample(name, &[("kind", kind)], guesses.total.load(Ordering::Relaxed));
        }
    }
}

impl Guesses {
    /// How many there were in the current hour.
    fn count(&self, now: DateTime<Utc>) -> u64 {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        if (now - hour.0).abs() >= HOUR {
            *hour = (now, 0);
        }
        hour.1 += 1;
        hour.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_the_hour() {
        let guesses = Guesses::default();
        let begin = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        assert_eq!([0, 30, 59].map(|minutes| guesses.count(begin + TimeDelta::minutes(minutes))), [1, 2, 3]);
        assert_eq!(guesses.count(begin + HOUR), 1);
        assert_eq!(guesses.total.load(Ordering::Relaxed), 4);
    }
}
