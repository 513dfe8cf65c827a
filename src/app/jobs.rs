//! Every kind of job, and what runs by the clock.

use std::time::Duration;

use crate::{
    db::Db,
    jobs::{PruneJobs, Registry},
};

pub fn registry(db: &Db) -> Registry {
    Registry::default().register::<PruneJobs>(db.clone()).every(
        Duration::from_hours(1),
        "prune-jobs",
        &PruneJobs {},
    )
}
