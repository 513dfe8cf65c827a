//! Lets others take part in the publication of a snapshot without the market knowing them.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};

/// Takes part in the transaction that publishes a snapshot.
pub trait AfterPublish: Send + Sync {
    /// Runs when the snapshot is there, and again when what people say is added to it in a second transaction. An error
    /// rolls the transaction back.
    fn published(&self, conn: &mut PgConnection, snapshot_id: i64, now: DateTime<Utc>) -> QueryResult<()>;
}
