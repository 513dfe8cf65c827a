//! The requests that this server knows of, in memory: by key, when the key will have no debt left.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use super::RateLimit;

/// Maximum number of remembered keys, about 20 MB.
const CAPACITY: usize = 100_000;
/// A server admits this part of a limit before it shares what it has counted, so that three servers together exceed a
/// limit by at most 5 percent.
const UNSHARED_PART: u32 = 60;
/// Less than this part of a limit is left: the database decides about each request.
const NEAR_PART: u32 = 10;

/// A key in the memory of this server: a hash, so that no addresses are stored.
pub(super) type Key = u64;
/// A key in the database.
pub(super) type Name = [u8; 16];

/// What the memory decides about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Admitted,
    /// The time until the next request is admitted.
    Refused(Duration),
    /// The limit is near, or too much has not been shared yet.
    AskDatabase,
}

/// What a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Until all of the burst is available again.
    pub full_in: Duration,
}

/// Requests of a key that this server has admitted and not shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unshared {
    pub key: Key,
    pub limit: RateLimit,
    pub name: Name,
    pub requests: u32,
}

struct Debt {
    limit: RateLimit,
    name: Name,
    /// In microseconds of Unix time.
    free_at: i64,
    unshared: u32,
    /// Whether it is in [`Debts::to_share`].
    is_queued: bool,
}

#[derive(Default)]
pub(super) struct Debts {
    keys: HashMap<Key, Debt>,
    /// The keys, the one with the least debt first. A key without debt is not here while it waits to be shared.
    by_time: BTreeSet<(i64, Key)>,
    /// Keys with requests to share, the oldest first; also keys that are forgotten.
    to_share: VecDeque<Key>,
}

impl Debts {
    /// Counts one request. `is_shared`: the database can be asked. `name` is called for a key that is not known.
    pub fn count(
        &mut self,
        limit: RateLimit,
        key: Key,
        now: i64,
        is_shared: bool,
        name: impl FnOnce() -> Name,
    ) -> Decision {
        self.forget_paid(now, is_shared);
        let (every, max_debt) = (micros(limit.every), micros(limit.window()));
        let known = self.keys.get(&key);
        // A clock that was set back must not make a debt larger than the limit allows.
        let debt = known.map_or(0, |known| (known.free_at - now).clamp(0, max_debt)) + every;
        if debt > max_debt {
            return Decision::Refused(Duration::from_micros((debt - max_debt).unsigned_abs()));
        }
        let unshared = known.map_or(0, |known| known.unshared).saturating_add(1);
        let is_near = (max_debt - debt) / every < i64::from(limit.burst / NEAR_PART);
        if is_shared && (is_near || unshared > limit.burst / UNSHARED_PART) {
            return Decision::AskDatabase;
        }
        let name = known.map_or_else(name, |known| known.name);
        self.set(Unshared { key, limit, name, requests: unshared }, now + debt);
        Decision::Admitted
    }

    pub fn state(&self, limit: RateLimit, key: Key, now: i64) -> State {
        let debt = self.keys.get(&key).map_or(0, |known| (known.free_at - now).max(0));
        // Rounded up, so that what is announced as left is accepted.
        let used = requests_in(debt, micros(limit.every));
        let full_in = Duration::from_micros(debt.unsigned_abs());
        State { remaining: limit.burst.saturating_sub(used), full_in }
    }

    /// The requests of a key to share.
    pub fn unshared(&mut self, key: Key, now: i64) -> u32 {
        self.keys.get_mut(&key).map_or(0, |known| known.forget_earned(now))
    }

    /// Takes at most `most` keys with requests to share out of the queue.
    pub fn take_unshared(&mut self, most: usize, now: i64) -> Vec<Unshared> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(key) = self.to_share.pop_front()
        {
            let Some(known) = self.keys.get_mut(&key) else {
                continue;
            };
            known.is_queued = false;
            let requests = known.forget_earned(now);
            if requests > 0 {
                taken.push(Unshared { key, limit: known.limit, name: known.name, requests });
            } else {
                let free_at = known.free_at;
                self.drop_if_paid(key, free_at, now);
            }
        }
        taken
    }

    /// Puts keys back into the queue, since they could not be shared.
    pub fn put_back(&mut self, taken: &[Unshared]) {
        for one in taken {
            self.queue(one.key);
        }
    }

    /// Takes over what the database answered after it was sent `shared` requests of this server.
    pub fn settle(&mut self, shared: Unshared, free_at: i64, now: i64) {
        let unshared =
            self.keys.get(&shared.key).map_or(0, |known| known.unshared.saturating_sub(shared.requests));
        let free_at = free_at.saturating_add(i64::from(unshared).saturating_mul(micros(shared.limit.every)));
        self.set(Unshared { requests: unshared, ..shared }, free_at);
        self.drop_if_paid(shared.key, free_at, now);
    }

    /// Requests that the database has admitted too late: they were counted here in the meantime, and must not be counted
    /// twice.
    pub fn claim(&mut self, key: Key, requests: u32) {
        let Some(known) = self.keys.get(&key) else {
            return;
        };
        let counted = requests.min(known.unshared);
        if counted > 0 {
            let free_at = known.free_at - i64::from(counted) * micros(known.limit.every);
            let Debt { limit, name, unshared, .. } = *known;
            self.set(Unshared { key, limit, name, requests: unshared - counted }, free_at);
        }
    }

    /// Sets the debt of a key.
    fn set(&mut self, news: Unshared, free_at: i64) {
        let Unshared { key, limit, name, requests } = news;
        if let Some(known) = self.keys.get_mut(&key) {
            self.by_time.remove(&(known.free_at, key));
            (known.limit, known.free_at, known.unshared) = (limit, free_at, requests);
        } else {
            if self.keys.len() >= CAPACITY {
                self.evict();
            }
            self.keys.insert(key, Debt { limit, name, free_at, unshared: requests, is_queued: false });
        }
        self.by_time.insert((free_at, key));
        if requests > 0 {
            self.queue(key);
        }
    }

    fn queue(&mut self, key: Key) {
        // The queue may contain forgotten keys, so it has a bound of its own. A key that finds no place is shared when
        // the database is asked about it.
        if self.to_share.len() < CAPACITY
            && let Some(known) = self.keys.get_mut(&key)
            && !known.is_queued
        {
            known.is_queued = true;
            self.to_share.push_back(key);
        }
    }

    /// Under a flood of keys the smallest debt is forgotten, so a key that has used up its limit stays refused.
    fn evict(&mut self) {
        while let Some(key) =
            self.by_time.pop_first().map(|(_, key)| key).or_else(|| self.to_share.pop_front())
        {
            // The queue may contain keys that are forgotten already.
            if self.keys.remove(&key).is_some() {
                return;
            }
        }
    }

    fn drop_if_paid(&mut self, key: Key, free_at: i64, now: i64) {
        if free_at <= now && self.keys.get(&key).is_some_and(|known| known.unshared == 0) {
            self.by_time.remove(&(free_at, key));
            self.keys.remove(&key);
        }
    }

    /// Forgets keys without debt, except those with requests that other servers do not know of yet: else each server
    /// would admit the whole rate.
    fn forget_paid(&mut self, now: i64, is_shared: bool) {
        while let Some((free_at, key)) = self.by_time.first().copied()
            && free_at <= now
        {
            self.by_time.pop_first();
            if !(is_shared && self.keys.get(&key).is_some_and(|known| known.is_queued)) {
                self.keys.remove(&key);
            }
        }
    }
}

impl Debt {
    /// Forgets requests from a time without the database that have been earned back since, and returns the others.
    fn forget_earned(&mut self, now: i64) -> u32 {
        let owed = requests_in(self.free_at - now, micros(self.limit.every));
        // Those of the last exchange interval count also if they are earned back.
        let recent = self.limit.burst / UNSHARED_PART;
        self.unshared = self.unshared.min(owed.max(recent).max(1));
        self.unshared
    }
}

/// Rounded up.
fn requests_in(debt: i64, every: i64) -> u32 {
    u32::try_from((debt.max(0) + every - 1) / every).unwrap_or(u32::MAX)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { name: "test", burst: 3, every: Duration::from_secs(10) };
    const LARGE: RateLimit = RateLimit { name: "large", burst: 600, every: Duration::from_secs(10) };
    const TEN_SECONDS: i64 = 10_000_000;
    const NAME: Name = [7; 16];

    fn alone(debts: &mut Debts, limit: RateLimit, key: Key, now: i64) -> Decision {
        debts.count(limit, key, now, false, || NAME)
    }

    fn shared(debts: &mut Debts, limit: RateLimit, now: i64) -> Decision {
        debts.count(limit, 1, now, true, || NAME)
    }

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let mut debts = Debts::default();
        for _ in 0..3 {
            assert_eq!(alone(&mut debts, LIMIT, 1, 0), Decision::Admitted);
        }
        assert_eq!(alone(&mut debts, LIMIT, 1, 0), Decision::Refused(LIMIT.every));
        assert_eq!(alone(&mut debts, LIMIT, 2, 0), Decision::Admitted, "another key has its own budget");
        assert_eq!(alone(&mut debts, LIMIT, 1, TEN_SECONDS), Decision::Admitted);
        assert_eq!(alone(&mut debts, LIMIT, 1, TEN_SECONDS), Decision::Refused(LIMIT.every));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_a_wait_of_one_interval() {
        let mut debts = Debts::default();
        for _ in 0..3 {
            alone(&mut debts, LIMIT, 1, 360 * TEN_SECONDS);
        }
        assert_eq!(alone(&mut debts, LIMIT, 1, 0), Decision::Refused(LIMIT.every));
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_capacity_and_clears_no_debt() {
        let mut debts = Debts::default();
        let guesser = u64::MAX;
        while alone(&mut debts, LIMIT, guesser, 0) == Decision::Admitted {}
        for key in 0..(CAPACITY as u64 * 2) {
            assert_eq!(alone(&mut debts, LIMIT, key, 0), Decision::Admitted);
        }
        assert_eq!((debts.keys.len(), debts.by_time.len()), (CAPACITY, CAPACITY));
        assert!(debts.to_share.len() <= CAPACITY);
        assert!(matches!(alone(&mut debts, LIMIT, guesser, 0), Decision::Refused(_)));
        for key in 0..(CAPACITY as u64 * 2) {
            let decision = debts.count(LARGE, key, 5 * TEN_SECONDS, true, || NAME);
            assert_eq!(decision, Decision::Admitted, "{key}");
        }
        assert!(debts.keys.len() <= CAPACITY && debts.to_share.len() <= CAPACITY);
    }

    #[test]
    fn a_key_without_debt_takes_no_memory() {
        let mut debts = Debts::default();
        for key in 0..10 {
            alone(&mut debts, LIMIT, key, 0);
        }
        alone(&mut debts, LIMIT, 10, TEN_SECONDS);
        assert_eq!((debts.keys.len(), debts.by_time.len()), (1, 1));
    }

    #[test]
    fn a_small_part_of_a_limit_is_admitted_before_it_is_shared() {
        let mut debts = Debts::default();
        for _ in 0..10 {
            assert_eq!(shared(&mut debts, LARGE, 0), Decision::Admitted);
        }
        assert_eq!(shared(&mut debts, LARGE, 0), Decision::AskDatabase);
        // Earned back, but other servers do not know of them.
        assert_eq!(shared(&mut debts, LARGE, 100 * TEN_SECONDS), Decision::AskDatabase);
        let now = 100 * TEN_SECONDS;
        let sent = debts.take_unshared(9, now);
        assert_eq!(sent.iter().map(|one| (one.key, one.requests)).collect::<Vec<_>>(), [(1, 10)]);
        assert!(debts.take_unshared(9, now).is_empty());
        debts.settle(sent[0], now + 300 * TEN_SECONDS, now);
        assert_eq!(debts.state(LARGE, 1, now).remaining, 300);
        assert_eq!(shared(&mut debts, LARGE, now), Decision::Admitted);
        assert_eq!(debts.take_unshared(9, now)[0].requests, 1);
    }

    #[test]
    fn near_its_limit_each_request_is_decided_by_the_database_and_beyond_it_none() {
        let mut debts = Debts::default();
        shared(&mut debts, LARGE, 0);
        let sent = debts.take_unshared(9, 0)[0];
        debts.settle(sent, 550 * TEN_SECONDS, 0);
        assert_eq!(shared(&mut debts, LARGE, 0), Decision::AskDatabase);
        debts.settle(Unshared { requests: 0, ..sent }, 600 * TEN_SECONDS, 0);
        assert_eq!(shared(&mut debts, LARGE, 0), Decision::Refused(LARGE.every));
        assert_eq!(shared(&mut debts, LARGE, 600 * TEN_SECONDS), Decision::Admitted);
    }

    #[test]
    fn a_key_that_was_shared_and_paid_takes_no_memory() {
        let mut debts = Debts::default();
        shared(&mut debts, LARGE, 0);
        let now = 2 * TEN_SECONDS;
        debts.count(LARGE, 2, now, true, || NAME);
        assert_eq!(debts.keys.len(), 2, "the paid one waits to be shared");
        for one in debts.take_unshared(9, now) {
            debts.settle(one, now, now);
        }
        assert_eq!((debts.keys.len(), debts.by_time.len(), debts.to_share.len()), (0, 0, 0));
    }

    #[test]
    fn a_request_that_the_database_admits_too_late_is_counted_once() {
        let mut debts = Debts::default();
        shared(&mut debts, LARGE, 0);
        let sent = debts.take_unshared(9, 0)[0];
        // It has waited for too long, so this server has decided.
        alone(&mut debts, LARGE, 1, 0);
        debts.settle(sent, 2 * TEN_SECONDS, 0);
        debts.claim(1, 1);
        assert_eq!(debts.state(LARGE, 1, 0).remaining, 598);
        assert_eq!(debts.unshared(1, 0), 0);
        debts.claim(1, 1);
        assert_eq!(debts.state(LARGE, 1, 0).remaining, 598, "nothing is left to claim");
    }

    #[test]
    fn what_was_earned_back_without_the_database_is_not_shared() {
        let mut debts = Debts::default();
        for _ in 0..500 {
            alone(&mut debts, LARGE, 1, 0);
        }
        let now = 480 * TEN_SECONDS;
        let sent = debts.take_unshared(9, now)[0];
        assert_eq!(sent.requests, 20);
        debts.settle(sent, now + 20 * TEN_SECONDS, now);
        assert_eq!(debts.unshared(1, now), 0);
    }

    #[test]
    fn what_could_not_be_shared_is_shared_later() {
        let mut debts = Debts::default();
        shared(&mut debts, LARGE, 0);
        let sent = debts.take_unshared(9, 0);
        shared(&mut debts, LARGE, 0);
        debts.put_back(&sent);
        assert_eq!(debts.take_unshared(9, 0)[0].requests, 2);
    }
}
