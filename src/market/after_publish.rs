//! Lets other rooms take part in the publication of a snapshot; the market does not know them.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};

use crate::db::SnapshotId;

/// Takes part in the transaction that publishes a snapshot.
pub trait AfterPublish: Send + Sync {
    /// Runs after the snapshot was inserted, and again if social figures are added to it in a second transaction. An
    /// error rolls the transaction back.
    fn published(
        &self,
        conn: &mut PgConnection,
        snapshot_id: SnapshotId,
        now: DateTime<Utc>,
    ) -> QueryResult<()>;

    /// Runs when all data so far is replaced, as simulated data by real data: numbers before and after cannot be compared.
    fn data_replaced(&self, conn: &mut PgConnection) -> QueryResult<()>;
}
