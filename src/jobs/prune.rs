//! Deletes dead jobs.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Failure, Job, Running, store};
use crate::db::Db;

/// Deletes jobs that have been dead for `FAILED_JOB_RETENTION`, since their payload may contain personal data.
#[derive(Serialize, Deserialize)]
pub struct PruneJobs {}

impl Job for PruneJobs {
    const KIND: &'static str = "prune-jobs";
    type Context = (Db, TimeDelta);

    async fn run(self, running: Running, (db, retention): &(Db, TimeDelta)) -> Result<(), Failure> {
        let limit = running.now - *retention;
        while db.query(move |conn| store::prune(conn, limit)).await? {}
        Ok(())
    }
}
