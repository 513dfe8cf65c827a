//! Rate limits by GCRA (the leaky bucket as a meter, ITU-T I.371): one timestamp a key.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::problem::{Problem, kind};

/// Keys that are remembered; the ones that are free again make room first.
const CAPACITY: usize = 100_000;

/// `burst` at once, then one each `every`.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    pub name: &'static str,
    pub burst: u32,
    pub every: Duration,
}

/// What each key has used up; per replica, in bounded memory.
pub struct RateLimits {
    enabled: bool,
    hasher: RandomState,
    /// When each key will be free of debt. The key is hashed: no addresses are kept.
    debts: Mutex<HashMap<u64, Instant>>,
}

impl RateLimits {
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self { enabled, hasher: RandomState::new(), debts: Mutex::default() }
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
        self.count(limit, key, Instant::now())
            .map_err(|wait| Problem::new(&kind::TOO_MANY_REQUESTS).retry_after(whole_seconds(wait)))
    }

    /// As [`RateLimits::check`], for a client's address. Of IPv6, where one client has a whole
    /// /64 and easily a /48, both are counted.
    ///
    /// # Errors
    /// As [`RateLimits::check`].
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

    fn count(&self, limit: RateLimit, key: u64, now: Instant) -> Result<(), Duration> {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        if debts.len() >= CAPACITY && !debts.contains_key(&key) {
            debts.retain(|_, free_at| *free_at > now);
            if debts.len() >= CAPACITY {
                // A flood of keys: forgetting all keeps memory bounded, and the hash queue is
                // bounded as well.
                debts.clear();
            }
        }
        let free_at = debts.get(&key).copied().unwrap_or(now).max(now);
        let after = free_at + limit.every;
        let debt = after.saturating_duration_since(now);
        if let Some(excess) = debt.checked_sub(limit.every * limit.burst).filter(|excess| !excess.is_zero()) {
            return Err(excess);
        }
        debts.insert(key, after);
        Ok(())
    }
}

/// Rounded up: whoever waits that long passes.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { name: "test", burst: 3, every: Duration::from_secs(10) };

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let limits = RateLimits::new(true);
        let start = Instant::now();
        for _ in 0..3 {
            assert!(limits.count(LIMIT, 1, start).is_ok());
        }
        assert_eq!(limits.count(LIMIT, 1, start), Err(LIMIT.every));
        assert!(limits.count(LIMIT, 2, start).is_ok(), "another key has its own budget");
        assert!(limits.count(LIMIT, 1, start + LIMIT.every).is_ok());
        assert!(limits.count(LIMIT, 1, start + LIMIT.every).is_err());
    }

    #[test]
    fn waiting_as_long_as_told_is_enough() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
    }

    #[test]
    fn of_ipv6_a_client_is_its_64_and_its_48() {
        let limits = RateLimits::new(true);
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
    fn a_flood_of_keys_stays_within_the_capacity() {
        let limits = RateLimits::new(true);
        let now = Instant::now();
        for key in 0..(CAPACITY as u64 + 10) {
            assert!(limits.count(LIMIT, key, now).is_ok());
        }
        assert!(limits.debts.lock().expect("lock").len() <= CAPACITY);
    }
}
