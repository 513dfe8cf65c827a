//! All kinds of jobs and their schedules.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use crate::{
    auth,
    coins::{AlertMailContext, CoinAlertMail, CoinAlertsMail},
    jobs::{PruneJobs, Registry},
    mail::TestMail,
    pictures::{DeletePicture, SweepPictures},
    storage::Storage,
};

/// `retention`: how long dead jobs are kept.
pub fn registry(
    context: &auth::MailContext,
    alerts: &AlertMailContext,
    storage: &Arc<Storage>,
    retention: TimeDelta,
) -> Registry {
    let registry = Registry::default()
        .register::<TestMail>(context.mailer.clone())
        .register::<CoinAlertsMail>(alerts.clone())
        .register::<CoinAlertMail>(alerts.clone())
        .register::<PruneJobs>((context.db.clone(), retention))
        .register::<DeletePicture>((context.db.clone(), storage.clone()))
        .register::<SweepPictures>((context.db.clone(), storage.clone()))
        .every(Duration::from_hours(1), "prune-jobs", &PruneJobs {})
        .every(Duration::from_hours(24), "sweep-pictures", &SweepPictures { part: 0 });
    auth::jobs(registry, context)
}
