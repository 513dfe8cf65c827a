//! Limits on what one request takes from the database: time, and slots per account.

use std::{
    cell::Cell,
    hash::{BuildHasher, Hash, RandomState},
    sync::LazyLock,
    time::Duration,
};

/// Time that a request may spend in the database, in all its hops. Other waits, such as for hashing a password, do
/// not count.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// The part of it for waiting for slots and connections.
const REQUEST_WAITS: Duration = Duration::from_millis(500);
/// Each hop of work in the background has its own budget.
const BACKGROUND: Budget =
    Budget { all: Duration::from_secs(5), waits: Duration::from_secs(2), account: None };

tokio::task_local! {
    static REQUEST: Cell<Budget>;
}

/// The remaining budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub all: Duration,
    pub waits: Duration,
    /// A hash of the account that slots are charged to.
    pub account: Option<u64>,
}

impl Budget {
    pub fn left() -> Self {
        REQUEST.try_with(Cell::get).unwrap_or(BACKGROUND)
    }

    /// Subtracts from the budget of the current request, if there is one; `waited` is part of `all`.
    pub fn spend(all: Duration, waited: Duration) {
        let _ = REQUEST.try_with(|budget| {
            let left = budget.get();
            let (all, waits) = (left.all.saturating_sub(all), left.waits.saturating_sub(waited));
            budget.set(Self { all, waits: waits.min(all), ..left });
        });
    }
}

/// Runs `request` with one budget for all its hops: 2 s, of which at most 500 ms for waiting for slots and
/// connections.
pub async fn within_budget<F: Future>(request: F) -> F::Output {
    let budget = Budget { all: REQUEST_TIME, waits: REQUEST_WAITS, account: None };
    REQUEST.scope(Cell::new(budget), request).await
}

/// Runs a part of a request that takes longer than others, with a budget of its own. For work of admins of which one at
/// a time runs: it keeps a slot all the while.
pub async fn within_time<F: Future>(time: Duration, part: F) -> F::Output {
    let budget = Budget { all: time, waits: REQUEST_WAITS, ..Budget::left() };
    REQUEST.scope(Cell::new(budget), part).await
}

/// Counts the following hops of this request against the slots of `account`: its id, or before that is known the
/// name in the request. One account takes at most a quarter of the slots, so that a locked row of one does not block
/// all. Outside a request this does nothing.
pub fn charge_to<A: Hash + ?Sized>(account: &A) {
    // Keyed, so that a client cannot choose a name that collides with another account.
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let account = Some(KEY.hash_one(account));
    let _ = REQUEST.try_with(|budget| budget.set(Budget { account, ..budget.get() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hops_of_a_request_share_one_budget() {
        within_budget(async {
            Budget::spend(Duration::from_millis(700), Duration::from_millis(400));
            charge_to("ada@example.com");
            let left = Budget::left();
            assert_eq!((left.all.as_millis(), left.waits.as_millis()), (1300, 100));
            assert!(left.account.is_some());
            Budget::spend(Duration::from_millis(1250), Duration::ZERO);
            let left = Budget::left();
            assert_eq!((left.all.as_millis(), left.waits.as_millis()), (50, 50), "waits are part of all");
            Budget::spend(Duration::from_secs(9), Duration::from_secs(9));
            assert_eq!(Budget::left().all, Duration::ZERO);
        })
        .await;
    }

    #[tokio::test]
    async fn work_outside_a_request_has_a_budget_for_each_hop() {
        Budget::spend(Duration::from_mins(1), Duration::from_mins(1));
        charge_to("ada@example.com");
        assert_eq!(Budget::left(), BACKGROUND);
    }
}
