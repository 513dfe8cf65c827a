//! Lets other rooms take part in a sync: which coins it reads, and what follows from a snapshot. The market does not know
//! them.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};

use crate::db::{CoinId, SnapshotId};

/// Takes part in a sync.
pub trait SyncHooks: Send + Sync {
    /// Runs in the transaction that publishes a snapshot, after it was inserted, and again if social figures are added to
    /// it in a second transaction. An error rolls the transaction back.
    fn published(
        &self,
        conn: &mut PgConnection,
        snapshot_id: SnapshotId,
        now: DateTime<Utc>,
    ) -> QueryResult<()>;

    /// Returns the coins besides these ones that users follow, at most `limit`, the most important first. The sync reads
    /// them too.
    fn followed(&self, conn: &mut PgConnection, besides: &[CoinId], limit: u32) -> QueryResult<Vec<CoinId>>;

    /// Runs when all data so far is replaced, as simulated data by real data: numbers before and after cannot be compared.
    fn data_replaced(&self, conn: &mut PgConnection) -> QueryResult<()>;
}
