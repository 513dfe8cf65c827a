//! Limits how often something may be done.
//!
//! - [`RateLimits`] count in the memory of this server: requests of a client address or of a logged-in user, which are
//!   frequent. Each replica counts for itself.
//! - [`Budgets`] count in PostgreSQL, over all replicas and restarts: guesses at passwords and codes, mails to an
//!   address. They change in the transaction that uses them.
//! - [`WrongGuesses`] count and warn, and refuse nothing.
//!
//! The first two use the generic cell rate algorithm (GCRA, ITU-T I.371; the leaky bucket as a meter). For each key it
//! stores one time: when the key will have no debt left.

mod budgets;
mod memory;
mod wrong_guesses;

use std::time::Duration;

pub use self::{
    budgets::{Budgets, Spent, prune},
    memory::{Metered, RateLimits},
    wrong_guesses::WrongGuesses,
};
use crate::{
    clock::Clock,
    http::{Problem, kind},
};

/// All limits, as one service.
pub struct Limits {
    pub requests: RateLimits,
    pub budgets: Budgets,
    pub wrong_guesses: WrongGuesses,
}

impl Limits {
    /// With `enabled` false (`RATE_LIMITS=off`) nothing is refused except codes with too many wrong attempts.
    pub fn new(enabled: bool, key: &[u8], clock: &Clock) -> Self {
        Self {
            requests: RateLimits::new(enabled, clock.clone()),
            budgets: Budgets::new(enabled, key),
            wrong_guesses: WrongGuesses::new(clock.clone()),
        }
    }
}

/// A limit: `burst` at once, then one per `every`.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    pub name: &'static str,
    pub burst: u32,
    pub every: Duration,
}

/// A 429 with `Retry-After`, rounded up, so that a client that waits this long is accepted.
fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(&kind::TOO_MANY_REQUESTS).retry_after(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    #[test]
    fn retry_after_is_rounded_up() {
        for (millis, expected) in [(1, "1"), (2000, "2"), (2001, "3")] {
            let response = too_many(Duration::from_millis(millis)).error_response();
            assert_eq!(response.headers().get("retry-after").expect("header"), expected);
        }
    }
}
