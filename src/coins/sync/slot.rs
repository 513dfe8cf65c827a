//! How often slots are looked at, and when a provider that failed is asked again.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};

use super::{
    super::{store::ServiceState, upstream::Advice},
    after,
};

const LONGEST_BACK_OFF: Duration = Duration::from_mins(30);
const ONCE_STOPPED: Duration = Duration::from_hours(24);

/// Several looks a slot, so that a dead replica's slot is taken over.
pub fn tick(interval: Duration) -> Duration {
    (interval / 5).clamp(Duration::from_millis(200), Duration::from_secs(5))
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
}
