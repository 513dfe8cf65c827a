//! The running hops, each with its slot. One that PostgreSQL does not answer is abandoned.
//!
//! A thread that waits inside libpq cannot be interrupted. So its slot is taken from it, and the thread stays stuck
//! until its connection fails, which may be never. The number of stuck threads is limited: beyond it hops keep their
//! slots.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::{manager::LastAnswer, slots::Slot};

/// Time without an answer after which a hop is abandoned; longer than PostgreSQL's statement timeout.
const SILENCE: Duration = Duration::from_secs(3);

pub(super) struct Hops {
    max_stuck: usize,
    running: Mutex<HashMap<u64, Running>>,
    next: AtomicU64,
    stuck: AtomicUsize,
    abandoned: AtomicU64,
}

struct Running {
    since: Instant,
    slot: Slot,
    /// A new connection is being opened.
    is_opening: bool,
    /// Set once it has a connection.
    answered: Option<LastAnswer>,
}

impl Running {
    /// When PostgreSQL last answered, or the hop began.
    fn last_sign(&self) -> Instant {
        self.answered.as_ref().map_or(self.since, |answered| answered.at().max(self.since))
    }
}

/// Hops that were abandoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Abandoned {
    pub count: usize,
    /// Those with an open connection; the others waited for a new one.
    pub open: usize,
}

impl Hops {
    pub fn new(max_stuck: usize) -> Self {
        let (running, next) = Default::default();
        Self { max_stuck, running, next, stuck: AtomicUsize::new(0), abandoned: AtomicU64::new(0) }
    }

    /// Registers a hop; returns its id, for [`Hops::end`].
    pub fn begin(&self, slot: Slot) -> u64 {
        let hop = self.next.fetch_add(1, Ordering::Relaxed);
        self.running()
            .insert(hop, Running { since: Instant::now(), slot, is_opening: false, answered: None });
        hop
    }

    /// The hop begins to open a new connection.
    pub fn opens(&self, hop: u64) {
        if let Some(running) = self.running().get_mut(&hop) {
            running.is_opening = true;
        }
    }

    /// The hop has a connection, which reports when PostgreSQL has answered.
    pub fn opened(&self, hop: u64, answered: LastAnswer) {
        if let Some(running) = self.running().get_mut(&hop) {
            running.since = Instant::now();
            running.is_opening = false;
            running.answered = Some(answered);
        }
    }

    /// Frees the hop's slot, unless [`Hops::abandon`] has done so.
    pub fn end(&self, hop: u64) {
        let ended = self.running().remove(&hop);
        match ended {
            Some(running) => drop(running.slot),
            None => {
                self.stuck.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// The longest time that a running hop has had no answer.
    pub fn longest_silence(&self, now: Instant) -> Duration {
        let signs = self.running();
        let oldest = signs.values().map(Running::last_sign).min();
        oldest.map_or(Duration::ZERO, |sign| now.saturating_duration_since(sign))
    }

    /// Frees the slots of hops that have had no answer for too long, up to the maximum of stuck threads.
    pub fn abandon(&self, now: Instant) -> Abandoned {
        let mut room = self.max_stuck.saturating_sub(self.stuck());
        let mut running = self.running();
        let is_over = |_: &u64, hop: &mut Running| {
            let is_over = room > 0 && now.saturating_duration_since(hop.last_sign()) > SILENCE;
            room -= usize::from(is_over);
            is_over
        };
        let abandoned: Vec<_> = running.extract_if(is_over).map(|(_, hop)| hop).collect();
        // While the lock is held, so that a thread whose hop ends now subtracts it afterwards.
        self.stuck.fetch_add(abandoned.len(), Ordering::Relaxed);
        self.abandoned.fetch_add(abandoned.len() as u64, Ordering::Relaxed);
        let open = abandoned.iter().filter(|hop| !hop.is_opening).count();
        Abandoned { count: abandoned.len(), open }
    }

    /// The maximum number of stuck threads.
    pub fn max_stuck(&self) -> usize {
        self.max_stuck
    }

    /// Threads of abandoned hops that are still inside libpq.
    pub fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Hops that were abandoned since the start.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
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
    async fn an_abandoned_hop_frees_its_slot_once_and_counts_as_stuck_until_its_thread_returns() {
        let (hops, slots) = (Hops::new(2), Slots::new(2));
        let hung = begin(&hops, &slots).await;
        hops.opens(hung);
        let begun = Instant::now() + Duration::from_millis(1);
        assert_eq!(hops.abandon(begun + Duration::from_secs(2)), Abandoned::default());
        assert_eq!(hops.abandon(begun + SILENCE), Abandoned { count: 1, open: 0 });
        assert_eq!(hops.abandon(begun + SILENCE), Abandoned::default());
        assert_eq!(hops.longest_silence(begun + SILENCE), Duration::ZERO);
        assert_eq!((slots.in_use(), hops.stuck(), hops.abandoned()), (0, 1, 1));
        hops.end(hung);
        assert_eq!((slots.in_use(), hops.stuck(), hops.abandoned()), (0, 0, 1));

        let quick = begin(&hops, &slots).await;
        assert_eq!(slots.in_use(), 1);
        hops.end(quick);
        assert_eq!((slots.in_use(), hops.stuck()), (0, 0));
    }

    #[tokio::test]
    async fn a_hop_with_an_answer_now_and_then_is_not_abandoned() {
        let (hops, slots) = (Hops::new(2), Slots::new(2));
        let (hop, answered) = (begin(&hops, &slots).await, LastAnswer::default());
        hops.opened(hop, answered.clone());
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        answered.note();
        assert_eq!(hops.abandon(began + SILENCE), Abandoned::default());
        assert_eq!(hops.abandon(Instant::now() + SILENCE + SILENCE), Abandoned { count: 1, open: 1 });
        hops.end(hop);
    }

    #[tokio::test]
    async fn above_the_maximum_hops_keep_their_slots() {
        let (hops, slots) = (Hops::new(1), Slots::new(8));
        let hung = [begin(&hops, &slots).await, begin(&hops, &slots).await];
        let later = Instant::now() + 2 * SILENCE;
        assert_eq!((hops.abandon(later).count, hops.abandon(later).count), (1, 0));
        assert!(hops.longest_silence(later) > SILENCE);
        assert_eq!((slots.in_use(), hops.stuck()), (1, 1));
        for hop in hung {
            hops.end(hop);
        }
        assert_eq!((slots.in_use(), hops.stuck()), (0, 0));
    }
}
