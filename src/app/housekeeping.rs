//! What every replica does now and then. Each step may run anywhere, at any time, twice.

use std::time::Duration;

use actix_web::web::Data;
use chrono::TimeDelta;
use tokio::time;

use crate::{
    clock::Clock,
    config,
    db::Db,
    http::Problem,
    tokens::{self, Activity, sessions},
};

const FLUSH: Duration = Duration::from_secs(5);
const FLUSHES_A_PRUNE: u32 = 12;

/// Runs until the task is aborted.
pub async fn run(db: Db, clock: Clock, settings: Data<config::Tokens>, activity: Data<Activity>) {
    let longest = settings.refresh_idle_ttl.max(settings.access_ttl) + Duration::from_hours(1);
    let keep_keys = TimeDelta::from_std(longest).unwrap_or(TimeDelta::days(365));
    let mut ticks = time::interval(FLUSH);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    for count in 0u32.. {
        ticks.tick().await;
        let result = flush(&db, &activity).await;
        let now = clock.now();
        let pruned = if count % FLUSHES_A_PRUNE == 0 {
            db.tx(move |conn| {
                sessions::prune(conn, now)?;
                tokens::prune_retired(conn, now - keep_keys)?;
                Ok::<_, Problem>(())
            })
            .await
        } else {
            Ok(())
        };
        if let Err(problem) = result.and(pruned) {
            tracing::warn!(%problem, "housekeeping could not use the database");
        }
    }
}

/// Writes down which sessions were used.
pub async fn flush(db: &Db, activity: &Data<Activity>) -> Result<(), Problem> {
    let activity = activity.clone();
    db.run(move |conn| Ok(sessions::store_activity(conn, &activity)?)).await
}
