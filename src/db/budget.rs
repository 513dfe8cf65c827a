//! What one request may take of the database: time in all, and slots for the account that it is about.

use std::{
    cell::Cell,
    hash::{BuildHasher, Hash, RandomState},
    sync::LazyLock,
    time::Duration,
};

/// What a request may spend in the database, in all its hops together. What it waits for elsewhere,
/// such as a password's hash, does not count.
const OF_REQUEST: Duration = Duration::from_secs(2);
/// How much of that it may wait for slots and connections.
const WAITS_OF_REQUEST: Duration = Duration::from_millis(500);
/// Work that no client waits for has this much for each hop.
const IN_BACKGROUND: Budget =
    Budget { all: Duration::from_secs(5), waits: Duration::from_secs(2), account: None };

tokio::task_local! {
    static REQUEST: Cell<Budget>;
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub all: Duration,
    pub waits: Duration,
    /// A hash of the account that slots are charged to.
    pub account: Option<u64>,
}

impl Budget {
    pub fn left() -> Self {
        REQUEST.try_with(Cell::get).unwrap_or(IN_BACKGROUND)
    }

    /// Takes from what the request has left, if this is one: `waited` is part of `all`.
    pub fn spend(all: Duration, waited: Duration) {
        let _ = REQUEST.try_with(|budget| {
            let left = budget.get();
            let (all, waits) = (left.all.saturating_sub(all), left.waits.saturating_sub(waited));
            budget.set(Self { all, waits: waits.min(all), ..left });
        });
    }
}

/// Runs `request` with one budget for all its hops, 2 s, of which at most 500 ms are waiting for slots
/// and connections.
pub async fn within_budget<F: Future>(request: F) -> F::Output {
    let budget = Budget { all: OF_REQUEST, waits: WAITS_OF_REQUEST, account: None };
    REQUEST.scope(Cell::new(budget), request).await
}

/// From here on the hops of this request count against the slots of `account`: its id, or before that is
/// known what the request names it by. One account holds at most a quarter of the slots, so a locked row
/// of its leaves the others theirs. Outside a request this does nothing.
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
        assert_eq!(Budget::left(), IN_BACKGROUND);
    }
}
