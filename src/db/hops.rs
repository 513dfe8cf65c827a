//! The hops that run, each with its slot: one that PostgreSQL never answers is given up.
//!
//! A thread that waits inside libpq cannot be interrupted. So its slot is taken away from it and the thread is
//! left behind until its connection fails, which may be never. The number of those is bounded.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::slots::Slot;

/// A second more than a request may take.
const GIVE_UP_HOP: Duration = Duration::from_secs(3);
/// A probe holds no slot, and opening its connection ends by itself after 2 s for each address of the host.
const GIVE_UP_PROBE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Hops {
    running: Mutex<HashMap<u64, Running>>,
    next: AtomicU64,
    left_behind: AtomicUsize,
    given_up: AtomicU64,
}

struct Running {
    since: Instant,
    /// None for a probe.
    slot: Option<Slot>,
}

impl Hops {
    /// Returns what [`Hops::end`] wants.
    pub fn begin(&self, slot: Option<Slot>) -> u64 {
        let hop = self.next.fetch_add(1, Ordering::Relaxed);
        self.running().insert(hop, Running { since: Instant::now(), slot });
        hop
    }

    /// Frees its slot, unless that was done by [`Hops::give_up`].
    pub fn end(&self, hop: u64) {
        let ended = self.running().remove(&hop);
        if ended.is_none() {
            self.left_behind.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// When the oldest one began; probes do not count.
    pub fn oldest(&self) -> Option<Instant> {
        self.running().values().filter(|hop| hop.slot.is_some()).map(|hop| hop.since).min()
    }

    /// Frees the slots of those that run for too long; how many that were.
    pub fn give_up(&self, now: Instant) -> usize {
        let is_over = |hop: &Running| {
            let limit = if hop.slot.is_some() { GIVE_UP_HOP } else { GIVE_UP_PROBE };
            now.saturating_duration_since(hop.since) > limit
        };
        let mut running = self.running();
        let given_up: Vec<_> = running.extract_if(|_, hop| is_over(hop)).collect();
        // While the lock is held, so that the thread of one that ends now counts it off afterwards.
        self.left_behind.fetch_add(given_up.len(), Ordering::Relaxed);
        self.given_up.fetch_add(given_up.len() as u64, Ordering::Relaxed);
        given_up.len()
    }

    /// Threads that were given up and are still inside libpq.
    pub fn left_behind(&self) -> usize {
        self.left_behind.load(Ordering::Relaxed)
    }

    /// How many were ever given up.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::slots::Slots;

    #[tokio::test]
    async fn a_hop_that_is_given_up_frees_its_slot_once_and_is_counted_until_its_thread_returns() {
        let (hops, slots) = (Hops::default(), Slots::new(2));
        let stuck = hops.begin(Some(slots.take(slots.turn(Some(1)).await).await));
        let probe = hops.begin(None);
        let begun = Instant::now() + Duration::from_millis(1);
        assert_eq!(hops.give_up(begun + Duration::from_secs(2)), 0);
        assert_eq!(hops.give_up(begun + GIVE_UP_HOP), 1);
        assert_eq!(hops.give_up(begun + GIVE_UP_HOP), 0);
        assert_eq!(hops.oldest(), None, "a probe raises no suspicion");
        hops.end(probe);
        assert_eq!((slots.in_use().0, hops.left_behind(), hops.given_up()), (0, 1, 1));
        hops.end(stuck);
        assert_eq!((slots.in_use().0, hops.left_behind(), hops.given_up()), (0, 0, 1));

        let quick = hops.begin(Some(slots.take(slots.turn(Some(1)).await).await));
        assert_eq!((slots.in_use().0, hops.oldest().is_some()), (1, true));
        hops.end(quick);
        assert_eq!((slots.in_use().0, hops.left_behind(), hops.oldest()), (0, 0, None));
    }
}
