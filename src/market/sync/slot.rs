//! Says how often a replica looks for a slot that is due.

use std::time::Duration;

/// Several looks a slot, so that a dead replica's slot is taken over.
pub fn tick(interval: Duration) -> Duration {
    (interval / 5).clamp(Duration::from_millis(200), Duration::from_secs(5))
}
