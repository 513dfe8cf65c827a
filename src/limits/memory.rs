//! Limits how often something may be done, counted in the memory of this server.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;

use super::{RateLimit, too_many};
use crate::{clock::Clock, http::Problem};

/// Maximum number of remembered keys, about 10 MB.
const CAPACITY: usize = 100_000;

/// The rate limits of this server.
pub struct RateLimits {
    enabled: bool,
    clock: Clock,
    hasher: RandomState,
    debts: Mutex<Debts>,
}

/// The state of a limit after a request was counted against it.
#[derive(Debug)]
pub struct Metered {
    /// `too-many-requests` beyond the limit.
    pub outcome: Result<(), Problem>,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Until all of the burst is available again.
    pub full_in: Duration,
}

/// When each key will have no debt left, in microseconds of Unix time. Keys are hashed, so no addresses are stored.
#[derive(Default)]
struct Debts {
    free_at: HashMap<u64, i64>,
    /// The same entries, the key with the least debt first.
    by_time: BTreeSet<(i64, u64)>,
}

impl RateLimits {
    pub fn new(enabled: bool, clock: Clock) -> Self {
        Self { enabled, clock, hasher: RandomState::new(), debts: Mutex::default() }
    }

    /// Counts one request of `key` against `limit`.
    ///
    /// # Errors
    /// `too-many-requests` with `Retry-After`.
    pub fn check(&self, limit: RateLimit, key: impl Hash) -> Result<(), Problem> {
        if !self.enabled {
            return Ok(());
        }
        let key = self.hasher.hash_one((limit.name, key));
        let mut debts = self.debts.lock();
        debts.count(limit, key, self.clock.now().timestamp_micros()).map_err(too_many)
    }

    /// Like [`RateLimits::check`], and says how much is left; None if the limits are off.
    pub fn meter(&self, limit: RateLimit, key: impl Hash) -> Option<Metered> {
        if !self.enabled {
            return None;
        }
        let key = self.hasher.hash_one((limit.name, key));
        let now = self.clock.now().timestamp_micros();
        let mut debts = self.debts.lock();
        let outcome = debts.count(limit, key, now).map_err(too_many);
        let debt = debts.free_at.get(&key).map_or(0, |free_at| free_at - now);
        let every = micros(limit.every).max(1);
        // Rounded up, so that what is announced as left is accepted.
        let used = u32::try_from((debt + every - 1) / every).unwrap_or(u32::MAX);
        let full_in = Duration::from_micros(debt.unsigned_abs());
        Some(Metered { outcome, remaining: limit.burst.saturating_sub(used), full_in })
    }

    /// Like [`RateLimits::check`], for a client's address. An IPv6 client has a whole /64 and easily a /48, so requests
    /// count against both; the /48 has four times the limit.
    pub fn check_address(&self, limit: RateLimit, address: IpAddr) -> Result<(), Problem> {
        match address {
            IpAddr::V4(address) => self.check(limit, address),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let of_site = RateLimit { burst: limit.burst * 4, every: limit.every / 4, ..limit };
                self.check(of_site, ("/48", bits >> 80))?;
                self.check(limit, ("/64", bits >> 64))
            }
        }
    }
}

impl Debts {
    /// Counts one request, or returns how long to wait.
    fn count(&mut self, limit: RateLimit, key: u64, now: i64) -> Result<(), Duration> {
        self.forget_paid(now);
        let every = micros(limit.every);
        let max_debt = every.saturating_mul(limit.burst.into());
        let known = self.free_at.get(&key).copied();
        // A clock that was set back must not make a debt larger than the limit allows.
        let debt = known.map_or(0, |free_at| (free_at - now).clamp(0, max_debt)) + every;
        if debt > max_debt {
            return Err(Duration::from_micros((debt - max_debt).unsigned_abs()));
        }
        if let Some(free_at) = known {
            self.by_time.remove(&(free_at, key));
        } else if self.free_at.len() >= CAPACITY
            && let Some((_, least)) = self.by_time.pop_first()
        {
            // Under a flood of keys the smallest debt is dropped, so a key that has used up its limit stays refused.
            self.free_at.remove(&least);
        }
        self.free_at.insert(key, now + debt);
        self.by_time.insert((now + debt, key));
        Ok(())
    }

    fn forget_paid(&mut self, now: i64) {
        while let Some((free_at, key)) = self.by_time.first().copied()
            && free_at <= now
        {
            self.by_time.pop_first();
            self.free_at.remove(&key);
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { name: "test", burst: 3, every: Duration::from_secs(10) };
    const TEN_SECONDS: i64 = 10_000_000;

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let mut debts = Debts::default();
        for _ in 0..3 {
            assert!(debts.count(LIMIT, 1, 0).is_ok());
        }
        assert_eq!(debts.count(LIMIT, 1, 0), Err(LIMIT.every));
        assert!(debts.count(LIMIT, 2, 0).is_ok(), "another key has its own budget");
        assert!(debts.count(LIMIT, 1, TEN_SECONDS).is_ok());
        assert!(debts.count(LIMIT, 1, TEN_SECONDS).is_err());
    }

    #[test]
    fn the_limits_use_the_given_clock() {
        let clock = Clock::default();
        let limits = RateLimits::new(true, clock.clone());
        let passes = || limits.check(LIMIT, "key").is_ok();
        assert!((0..3).all(|_| passes()) && !passes());
        clock.advance(LIMIT.every);
        assert!(passes() && !passes());
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_a_wait_of_one_interval() {
        let mut debts = Debts::default();
        for _ in 0..3 {
            assert!(debts.count(LIMIT, 1, 360 * TEN_SECONDS).is_ok());
        }
        assert_eq!(debts.count(LIMIT, 1, 0), Err(LIMIT.every));
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_64_and_its_48() {
        let limits = RateLimits::new(true, Clock::default());
        let passes = |address: &str| limits.check_address(LIMIT, address.parse().expect("address")).is_ok();
        for host in ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"] {
            assert!(passes(host));
        }
        assert!(!passes("2001:db8:1::4"), "another address of the same /64");
        assert!(passes("2001:db8:2::1"), "another /48");
        let passed = (1..50).filter(|subnet| passes(&format!("2001:db8:1:{subnet:x}::1"))).count();
        assert!((1..13).contains(&passed), "{passed} subnets of one /48 passed");
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_capacity_and_clears_no_debt() {
        let mut debts = Debts::default();
        let guesser = u64::MAX;
        while debts.count(LIMIT, guesser, 0).is_ok() {}
        for key in 0..(CAPACITY as u64 * 2) {
            assert!(debts.count(LIMIT, key, 0).is_ok());
        }
        assert_eq!((debts.free_at.len(), debts.by_time.len()), (CAPACITY, CAPACITY));
        assert!(debts.count(LIMIT, guesser, 0).is_err());
    }

    #[test]
    fn a_key_without_debt_takes_no_memory() {
        let mut debts = Debts::default();
        for key in 0..10 {
            assert!(debts.count(LIMIT, key, 0).is_ok());
        }
        assert!(debts.count(LIMIT, 10, TEN_SECONDS).is_ok());
        assert_eq!((debts.free_at.len(), debts.by_time.len()), (1, 1));
    }
}
