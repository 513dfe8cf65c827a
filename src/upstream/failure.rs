//! Describes why a call to a service failed and when to call it again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::ledger::{ServiceState, next_day};
use crate::http::is_deceptive;

/// Characters of a message, which may quote the service, that are stored and shown.
const MAX_MESSAGE_LEN: usize = 200;
const MAX_BACK_OFF: Duration = Duration::from_mins(30);
/// How often a stopped service is tried.
const STOPPED_RETRY: Duration = Duration::from_hours(24);

/// The reason why a call failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub message: String,
    pub advice: Advice,
    /// True if only this request may have failed, so that another one may succeed.
    pub isolated: bool,
}

/// When to call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Soon, in growing intervals: the fault may pass.
    BackOff,
    /// After the wait that the service asks for.
    After(Duration),
    /// After the end of the day (UTC), when its quota begins anew.
    NextDay,
    /// After an operator has fixed key, plan or quota and restarted. It is retried once a day.
    Stop,
}

impl Failure {
    pub fn new(advice: Advice, message: impl AsRef<str>) -> Self {
        Self { message: clean(message.as_ref(), MAX_MESSAGE_LEN), advice, isolated: false }
    }

    /// Puts the subject of the request, such as a coin, before the message.
    pub fn with_subject(self, subject: &str) -> Self {
        Self { message: clean(&format!("{subject}: {}", self.message), MAX_MESSAGE_LEN), ..self }
    }

    /// An answer that cannot be used; the next request may get a better one.
    pub(super) fn unusable_answer(message: impl AsRef<str>) -> Self {
        Self { isolated: true, ..Self::new(Advice::BackOff, message) }
    }

    /// A body that differs from the documentation of the service.
    pub fn unexpected_body(reason: impl std::fmt::Display) -> Self {
        Self::unusable_answer(format!("unexpected body: {reason}"))
    }
}

/// Removes control characters and the like, and cuts the text to `longest` characters.
pub fn clean(text: &str, longest: usize) -> String {
    text.chars().filter(|c| !is_deceptive(*c)).take(longest).collect()
}

/// Returns the state of a service after one more failure. With [`Advice::BackOff`] the wait doubles from 30 s to 30 min.
pub fn after_failure(state: &ServiceState, advice: Advice, now: DateTime<Utc>) -> ServiceState {
    let failures = state.failures.saturating_add(1);
    let retry_at = match advice {
        Advice::BackOff => {
            let doubled = Duration::from_secs(15) * 2u32.pow(failures.clamp(0, 10).unsigned_abs());
            after(now, doubled.min(MAX_BACK_OFF))
        }
        Advice::After(wait) => after(now, wait),
        Advice::NextDay => next_day(now),
        Advice::Stop => after(now, STOPPED_RETRY),
    };
    ServiceState { failures, retry_at: Some(retry_at), stopped: advice == Advice::Stop, ..state.clone() }
}

/// Adds a wait; one that is too long for a date becomes a day.
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
    fn the_wait_after_a_failure_follows_the_advice() {
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
    fn a_message_is_short_and_without_control_characters() {
        let failure = Failure::new(Advice::Stop, format!("a\0b\u{202e}c{}", "x".repeat(999)));
        assert_eq!(failure.message.chars().count(), MAX_MESSAGE_LEN);
        assert!(failure.message.starts_with("abcx"));
    }
}
