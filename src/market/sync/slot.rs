//! Defines how often a replica looks for a slot that is due.

use std::time::Duration;

/// Several times per slot, so that another replica takes over the slot of a dead one.
pub fn tick(interval: Duration) -> Duration {
    (interval / 5).clamp(Duration::from_millis(200), Duration::from_secs(5))
}
