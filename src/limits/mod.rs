//! Limits how often something may be done, over all servers.
//!
//! - [`RateLimits`] count requests of a client address, a user, a session or an API key, which are frequent. Each server
//!   counts in memory and shares its counts through PostgreSQL.
//! - [`Budgets`] count guesses at passwords and codes, and mails to an address, in the transaction that uses them.
//! - [`WrongGuesses`] count and warn, and refuse nothing.
//!
//! The first two use the generic cell rate algorithm (GCRA, ITU-T I.371; the leaky bucket as a meter). For each key it
//! stores one time: when the key will have no debt left.

mod budgets;
mod debts;
mod exchange;
mod requests;
mod store;
mod wrong_guesses;

use std::time::Duration;

pub use self::{
    budgets::{Budgets, Spent, prune},
    requests::RateLimits,
    store::prune as prune_requests,
    wrong_guesses::WrongGuesses,
};
pub use crate::config::RateLimit;
use crate::{
    clock::Clock,
    config::Rates,
    db::Db,
    http::{Problem, kind},
};

/// All limits, as one service.
pub struct Limits {
    pub rates: Rates,
    pub requests: RateLimits,
    pub budgets: Budgets,
    pub wrong_guesses: WrongGuesses,
}

/// The keys under which limits name in the database whom they limit.
pub struct LimitKeys {
    pub budgets: Vec<u8>,
    pub requests: Vec<u8>,
}

impl Limits {
    /// With `RATE_LIMITS=off` nothing is refused except codes with too many wrong attempts.
    pub fn new(rates: Rates, keys: &LimitKeys, db: Db, clock: &Clock) -> Self {
        Self {
            requests: RateLimits::new(rates.enabled, &keys.requests, db, clock.clone()),
            budgets: Budgets::new(rates.enabled, &keys.budgets),
            wrong_guesses: WrongGuesses::new(clock.clone()),
            rates,
        }
    }
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
