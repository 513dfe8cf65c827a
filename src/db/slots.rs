//! Limits how many hops run at a time, in total and per account.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Slots {
    size: usize,
    free: Arc<Semaphore>,
    accounts: Arc<Accounts>,
}

/// The accounts with hops that run or wait, and their number.
struct Accounts {
    /// The maximum of running hops of one account.
    each: usize,
    busy: Mutex<HashMap<u64, (usize, Arc<Semaphore>)>>,
}

/// The permit to run a hop.
pub(super) struct Slot {
    _slot: OwnedSemaphorePermit,
    _turn: Turn,
}

/// A hop's turn among those of its account, if it has one.
pub(super) struct Turn {
    _of_account: Option<(OwnedSemaphorePermit, Entry)>,
}

/// Keeps the entry of an account, and removes it with its last hop.
struct Entry {
    account: u64,
    accounts: Arc<Accounts>,
}

impl Slots {
    pub fn new(size: usize) -> Self {
        let accounts = Accounts { each: size.div_ceil(4), busy: Mutex::default() };
        Self { size, free: Arc::new(Semaphore::new(size)), accounts: Arc::new(accounts) }
    }

    /// The number of slots that are taken.
    pub fn in_use(&self) -> usize {
        self.size - self.free.available_permits().min(self.size)
    }

    /// The number of slots.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Waits for a turn among the hops of the account; takes no slot.
    pub async fn turn(&self, account: Option<u64>) -> Turn {
        let of_account = match account {
            Some(account) => Some(self.accounts.turn(account).await),
            None => None,
        };
        Turn { _of_account: of_account }
    }

    /// Waits for a slot.
    pub async fn take(&self, turn: Turn) -> Slot {
        Slot { _slot: acquire(self.free.clone()).await, _turn: turn }
    }
}

impl Accounts {
    fn busy(&self) -> MutexGuard<'_, HashMap<u64, (usize, Arc<Semaphore>)>> {
        self.busy.lock()
    }

    async fn turn(self: &Arc<Self>, account: u64) -> (OwnedSemaphorePermit, Entry) {
        let own = {
            let mut busy = self.busy();
            let (hops, own) = busy.entry(account).or_insert_with(|| (0, Arc::new(Semaphore::new(self.each))));
            *hops += 1;
            own.clone()
        };
        // Made before the wait, so that a hop which stops waiting is subtracted as well.
        let entry = Entry { account, accounts: self.clone() };
        (acquire(own).await, entry)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut busy = self.accounts.busy();
        if let Some((hops, _)) = busy.get_mut(&self.account) {
            *hops -= 1;
            if *hops == 0 {
                busy.remove(&self.account);
            }
        }
    }
}

async fn acquire(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.acquire_owned().await.expect("it is never closed")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    async fn take(slots: &Slots, account: Option<u64>) -> Slot {
        slots.take(slots.turn(account).await).await
    }

    #[tokio::test]
    async fn an_account_holds_a_quarter_and_is_forgotten_afterwards() {
        let slots = Slots::new(8);
        let held = [take(&slots, Some(1)).await, take(&slots, Some(1)).await];
        let mut third = Box::pin(take(&slots, Some(1)));
        assert!(third.as_mut().now_or_never().is_none(), "a quarter of eight is two");
        let other = take(&slots, Some(2)).now_or_never().expect("another account has its own");
        let unnamed: Vec<_> = (0..5).filter_map(|_| take(&slots, None).now_or_never()).collect();
        assert_eq!((unnamed.len(), slots.in_use()), (5, 8));
        drop((other, unnamed));
        drop(third);
        assert!(take(&slots, Some(1)).now_or_never().is_none(), "a hop that stopped waiting leaves nothing");
        drop(held);
        assert_eq!(slots.in_use(), 0);
        assert!(slots.accounts.busy().is_empty());
    }

    #[test]
    fn an_account_may_always_run_one() {
        for (size, each) in [(1, 1), (2, 1), (5, 2), (10, 3), (500, 125)] {
            assert_eq!(Slots::new(size).accounts.each, each, "of {size}");
        }
    }
}
