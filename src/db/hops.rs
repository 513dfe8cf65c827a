//! The hops that run, each with its slot: one that PostgreSQL does not answer any more is given up.
//!
//! A thread that waits inside libpq cannot be interrupted. So its slot is taken away from it and the thread is
//! left behind until its connection fails, which may be never. The number of those is bounded: beyond it hops
//! keep their slots.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::{manager::LastAnswer, slots::Slot};

/// Without an answer for so long, which is longer than PostgreSQL lets a statement take.
const SILENCE: Duration = Duration::from_secs(3);

pub(super) struct Hops {
    /// How many may be left behind.
    most: usize,
    running: Mutex<HashMap<u64, Running>>,
    next: AtomicU64,
    left_behind: AtomicUsize,
    given_up: AtomicU64,
}

struct Running {
    since: Instant,
    slot: Slot,
    /// It waits for a new connection to be opened.
    is_opening: bool,
    /// Of its connection, once that is there.
    answered: Option<LastAnswer>,
}

impl Running {
    /// When there was the last sign of PostgreSQL.
    fn last_sign(&self) -> Instant {
        self.answered.as_ref().map_or(self.since, |answered| answered.at().max(self.since))
    }
}

/// Hops that were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub count: usize,
    /// Those of them that had a connection which was open; the others waited for a new one.
    pub open: usize,
}

impl Hops {
    pub fn new(most: usize) -> Self {
        let (running, next) = Default::default();
        Self { most, running, next, left_behind: AtomicUsize::new(0), given_up: AtomicU64::new(0) }
    }

    /// Returns what [`Hops::end`] wants.
    pub fn begin(&self, slot: Slot) -> u64 {
        let hop = self.next.fetch_add(1, Ordering::Relaxed);
        self.running()
            .insert(hop, Running { since: Instant::now(), slot, is_opening: false, answered: None });
        hop
    }

    /// It begins to open a new connection.
    pub fn opens(&self, hop: u64) {
        if let Some(running) = self.running().get_mut(&hop) {
            running.is_opening = true;
        }
    }

    /// From now on its connection tells when PostgreSQL has answered.
    pub fn opened(&self, hop: u64, answered: LastAnswer) {
        if let Some(running) = self.running().get_mut(&hop) {
            running.since = Instant::now();
            running.is_opening = false;
            running.answered = Some(answered);
        }
    }

    /// Frees its slot, unless that was done by [`Hops::give_up`].
    pub fn end(&self, hop: u64) {
        let ended = self.running().remove(&hop);
        match ended {
            Some(running) => drop(running.slot),
            None => {
                self.left_behind.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// For how long the one that has waited longest has had no answer.
    pub fn longest_silence(&self, now: Instant) -> Duration {
        let signs = self.running();
        let oldest = signs.values().map(Running::last_sign).min();
        oldest.map_or(Duration::ZERO, |sign| now.saturating_duration_since(sign))
    }

    /// Frees the slots of those that have had no answer for too long, as far as more may be left behind.
    pub fn give_up(&self, now: Instant) -> GivenUp {
        let mut room = self.most.saturating_sub(self.left_behind());
        let mut running = self.running();
        let is_over = |_: &u64, hop: &mut Running| {
            let is_over = room > 0 && now.saturating_duration_since(hop.last_sign()) > SILENCE;
            room -= usize::from(is_over);
            is_over
        };
        let given_up: Vec<_> = running.extract_if(is_over).map(|(_, hop)| hop).collect();
        // While the lock is held, so that the thread of one that ends now counts it off afterwards.
        self.left_behind.fetch_add(given_up.len(), Ordering::Relaxed);
        self.given_up.fetch_add(given_up.len() as u64, Ordering::Relaxed);
        let open = given_up.iter().filter(|hop| !hop.is_opening).count();
        GivenUp { count: given_up.len(), open }
    }

    /// How many may be left behind.
    pub fn most(&self) -> usize {
        self.most
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
        self.running.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::slots::Slots;

    async fn begin(hops: &Hops, slots: &Slots) -> u64 {
        hops.begin(slots.take(slots.turn(Some(1)).await).await)
    }

    #[tokio::test]
    async fn a_hop_that_is_given_up_frees_its_slot_once_and_is_counted_until_its_thread_returns() {
        let (hops, slots) = (Hops::new(2), Slots::new(2));
        let stuck = begin(&hops, &slots).await;
        hops.opens(stuck);
        let begun = Instant::now() + Duration::from_millis(1);
        assert_eq!(hops.give_up(begun + Duration::from_secs(2)), GivenUp::default());
        assert_eq!(hops.give_up(begun + SILENCE), GivenUp { count: 1, open: 0 });
        assert_eq!(hops.give_up(begun + SILENCE), GivenUp::default());
        assert_eq!(hops.longest_silence(begun + SILENCE), Duration::ZERO);
        assert_eq!((slots.in_use(), hops.left_behind(), hops.given_up()), (0, 1, 1));
        hops.end(stuck);
        assert_eq!((slots.in_use(), hops.left_behind(), hops.given_up()), (0, 0, 1));

        let quick = begin(&hops, &slots).await;
        assert_eq!(slots.in_use(), 1);
        hops.end(quick);
        assert_eq!((slots.in_use(), hops.left_behind()), (0, 0));
    }

    #[tokio::test]
    async fn a_hop_that_is_answered_now_and_then_is_not_given_up() {
        let (hops, slots) = (Hops::new(2), Slots::new(2));
        let (hop, answered) = (begin(&hops, &slots).await, LastAnswer::default());
        hops.opened(hop, answered.clone());
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        answered.note();
        assert_eq!(hops.give_up(began + SILENCE), GivenUp::default());
        assert_eq!(hops.give_up(Instant::now() + SILENCE + SILENCE), GivenUp { count: 1, open: 1 });
        hops.end(hop);
    }

    #[tokio::test]
    async fn beyond_the_bound_hops_keep_their_slots() {
        let (hops, slots) = (Hops::new(1), Slots::new(8));
        let stuck = [begin(&hops, &slots).await, begin(&hops, &slots).await];
        let later = Instant::now() + 2 * SILENCE;
        assert_eq!((hops.give_up(later).count, hops.give_up(later).count), (1, 0));
        assert!(hops.longest_silence(later) > SILENCE);
        assert_eq!((slots.in_use(), hops.left_behind()), (1, 1));
        for hop in stuck {
            hops.end(hop);
        }
        assert_eq!((slots.in_use(), hops.left_behind()), (0, 0));
    }
}
