//! All kinds of jobs and their schedules.

use std::time::Duration;

use crate::{
    auth,
    coins::CoinAlertMail,
    jobs::{PruneJobs, Registry},
    mail::TestMail,
};

pub fn registry(mailing: &auth::Mailing) -> Registry {
    let registry = Registry::default()
        .register::<TestMail>(mailing.mailer.clone())
        .register::<CoinAlertMail>((mailing.db.clone(), mailing.mailer.clone()))
        .register::<PruneJobs>(mailing.db.clone())
        .every(Duration::from_hours(1), "prune-jobs", &PruneJobs {});
    auth::jobs(registry, mailing)
}
