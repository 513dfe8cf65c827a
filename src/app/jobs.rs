//! All kinds of jobs and their schedules.

use std::time::Duration;

use crate::{
    auth,
    coins::CoinAlertMail,
    jobs::{PruneJobs, Registry},
    mail::TestMail,
};

pub fn registry(context: &auth::MailContext) -> Registry {
    let registry = Registry::default()
        .register::<TestMail>(context.mailer.clone())
        .register::<CoinAlertMail>((context.db.clone(), context.mailer.clone()))
        .register::<PruneJobs>(context.db.clone())
        .every(Duration::from_hours(1), "prune-jobs", &PruneJobs {});
    auth::jobs(registry, context)
}
