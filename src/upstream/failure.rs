//! Says why a call to a service failed and when to call it again.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use super::ledger::ServiceState;
use crate::http::is_deceptive;

/// What is shown and stored of a text that came from elsewhere.
const LONGEST_TEXT: usize = 200;
const LONGEST_BACK_OFF: Duration = Duration::from_mins(30);
const ONCE_STOPPED: Duration = Duration::from_hours(24);

/// Why a service gave nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub message: String,
    pub advice: Advice,
    /// It may be of this question alone: another one may be answered.
    pub isolated: bool,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Soon, in growing intervals: a fault that passes.
    BackOff,
    /// Not before the service says.
    After(Duration),
    /// When its day (UTC) ends.
    NextDay,
    /// An operator has to act and restart; a look a day finds out whether it was done.
    Stop,
}

impl Failure {
    pub fn new(advice: Advice, message: impl AsRef<str>) -> Self {
        Self { message: clean(message.as_ref(), LONGEST_TEXT), advice, isolated: false }
    }

    /// The same, and what was asked for.
    pub fn about(self, what: &str) -> Self {
        Self { message: clean(&format!("{what}: {}", self.message), LONGEST_TEXT), ..self }
    }

    /// There was an answer, but none that is of use.
    pub(super) fn useless(what: impl AsRef<str>) -> Self {
        Self { isolated: true, ..Self::new(Advice::BackOff, what) }
    }

    /// The body is not what the service documents.
    pub fn garbage(what: impl std::fmt::Display) -> Self {
        Self::useless(format!("the body makes no sense: {what}"))
    }
}

/// Without control characters and the like, cut to so many characters.
pub fn clean(text: &str, longest: usize) -> String {
    text.chars().filter(|c| !is_deceptive(*c)).take(longest).collect()
}

pub fn next_day(now: DateTime<Utc>) -> DateTime<Utc> {
    let tomorrow = now.date_naive().succ_opt().expect("the calendar goes on");
    tomorrow.and_time(NaiveTime::MIN).and_utc()
}

pub fn after_failure(state: &ServiceState, advice: Advice, now: DateTime<Utc>) -> ServiceState {
    let failures = state.failures.saturating_add(1);
    let retry_at = match advice {
        Advice::BackOff => {
            let doubled = Duration::from_secs(15) * 2u32.pow(failures.clamp(0, 10).unsigned_abs());
            after(now, doubled.min(LONGEST_BACK_OFF))
        }
        Advice::After(wait) => after(now, wait),
        Advice::NextDay => next_day(now),
        Advice::Stop => after(now, ONCE_STOPPED),
    };
    ServiceState { failures, retry_at: Some(retry_at), stopped: advice == Advice::Stop, ..state.clone() }
}

/// How long after now, within what a date can hold.
fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::days(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("time")
    }

    #[test]
    fn the_provider_is_asked_again_when_it_says() {
        let now = at("2026-11-20T10:00:00Z");
        let after = |failures, advice| {
            let state = ServiceState { failures, ..ServiceState::default() };
            after_failure(&state, advice, now)
        };
        assert_eq!(after(0, Advice::BackOff).retry_at, Some(at("2026-11-20T10:00:30Z")));
        assert_eq!(after(1, Advice::BackOff).retry_at, Some(at("2026-11-20T10:01:00Z")));
        assert_eq!(after(900, Advice::BackOff).retry_at, Some(at("2026-11-20T10:30:00Z")));
        let minute = Advice::After(Duration::from_mins(1));
        assert_eq!(after(5, minute).retry_at, Some(at("2026-11-20T10:01:00Z")));
        assert_eq!(after(0, Advice::NextDay).retry_at, Some(at("2026-11-21T00:00:00Z")));
        let stopped = after(0, Advice::Stop);
        assert!(stopped.stopped);
        assert_eq!(stopped.retry_at, Some(at("2026-11-21T10:00:00Z")));
    }

    #[test]
    fn a_text_from_elsewhere_is_short_and_harmless() {
        let failure = Failure::new(Advice::Stop, format!("a\0b\u{202e}c{}", "x".repeat(999)));
        assert_eq!(failure.message.chars().count(), LONGEST_TEXT);
        assert!(failure.message.starts_with("abcx"));
    }
}
