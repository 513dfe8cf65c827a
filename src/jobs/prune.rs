//! Deletes dead jobs.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Failure, Job, Running, store};
use crate::db::Db;

const KEEP_DEAD: TimeDelta = TimeDelta::days(30);

/// Deletes jobs that have been dead for 30 days, since their payload may contain personal data.
#[derive(Serialize, Deserialize)]
pub struct PruneJobs {}

impl Job for PruneJobs {
    const KIND: &'static str = "prune-jobs";
    type Context = Db;

    async fn run(self, running: Running, db: &Db) -> Result<(), Failure> {
        let limit = running.now - KEEP_DEAD;
        while db.query(move |conn| store::prune(conn, limit)).await? {}
        Ok(())
    }
}
