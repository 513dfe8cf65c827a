//! How long PostgreSQL has been answering. Together with the state of the connection that listens for changes, this
//! distinguishes a database that is unavailable from notifications that do not arrive.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// After this time without an answer a new period begins. The worker of the jobs queries every second.
const GAP: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Answers(Mutex<Option<Period>>);

#[derive(Clone, Copy)]
struct Period {
    since: Instant,
    last: Instant,
}

impl Answers {
    pub fn note(&self, now: Instant) {
        let mut period = self.0.lock();
        let since = period.filter(|period| now.saturating_duration_since(period.last) < GAP);
        *period = Some(Period { since: since.map_or(now, |period| period.since), last: now });
    }

    /// The time of the last answer.
    pub fn last(&self) -> Option<Instant> {
        self.0.lock().map(|period| period.last)
    }

    /// The time from the first to the last answer of the current period; zero if it is over.
    pub fn lasting(&self, now: Instant) -> Duration {
        let period = *self.0.lock();
        let present = period.filter(|period| now.saturating_duration_since(period.last) < GAP);
        present.map_or(Duration::ZERO, |period| period.last.saturating_duration_since(period.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_of_ten_seconds_begins_a_new_period() {
        let (answers, start) = (Answers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let lasting = |seconds| answers.lasting(at(seconds)).as_secs();
        assert_eq!(lasting(0), 0);
        for seconds in [0, 9, 18] {
            answers.note(at(seconds));
        }
        assert_eq!((lasting(18), lasting(27), lasting(28)), (18, 18, 0));
        answers.note(at(28));
        assert_eq!(lasting(28), 0, "it has only just come back");
        answers.note(at(30));
        assert_eq!(lasting(30), 2);
    }
}
