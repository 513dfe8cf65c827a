//! Every kind of job, and what runs by the clock.

use std::time::Duration;

use crate::{
    db::Db,
    jobs::{PruneJobs, Registry},
    mail::{Mailer, TestMail},
};

pub fn registry(db: &Db, mailer: &Mailer) -> Registry {
    Registry::default().register::<TestMail>(mailer.clone()).register::<PruneJobs>(db.clone()).every(
        Duration::from_hours(1),
        "prune-jobs",
        &PruneJobs {},
    )
}
