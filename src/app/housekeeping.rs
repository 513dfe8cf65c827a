//! Regular housekeeping of every replica. Each step can run on several at once and be repeated.

use std::{panic::resume_unwind, time::Duration};

use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use tokio::{task, time};

use crate::{
    audit::{self, Actor, Event, EventKind},
    auth::{self, Auth, challenges},
    clock::Clock,
    db::{Db, DbError},
    idempotency, jobs, limits,
    pictures::DeletePicture,
    tokens::{
        self, Activity, ApiKeys, KeyChange, NewKey, Schedule, activity, api_keys, login_devices,
        login_networks, sessions,
    },
    users::{self, Purged},
};

const FLUSH: Duration = Duration::from_secs(5);
const FLUSHES_PER_PRUNE: u32 = 12;

/// Runs until the task is aborted.
pub async fn run(auth: Data<Auth>) {
    let Auth { db, clock, tokens, activity, api_keys, .. } = auth.get_ref();
    let longest = tokens.refresh_idle_ttl.max(tokens.access_ttl) + Duration::from_hours(1);
    let keep_keys = TimeDelta::from_std(longest).unwrap_or(TimeDelta::days(365));
    let mut ticks = time::interval(FLUSH);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    for count in 0u32.. {
        ticks.tick().await;
        let mut result = flush(db, clock, activity).await;
        result = result.and(flush_uses(db, api_keys).await);
        if count % FLUSHES_PER_PRUNE == 0 {
            result = result.and(prune(db, clock.earliest(), keep_keys).await);
            result = result.and(prune_devices(&auth).await);
            result = result.and(prune_audit(&auth).await);
            result = result.and(keep_key_schedule(&auth).await);
        }
        if let Err(error) = result {
            tracing::warn!(%error, "housekeeping failed; retrying");
        }
    }
}

/// Stores which sessions were used.
pub async fn flush(db: &Db, clock: &Clock, activity: &Data<Activity>) -> Result<(), DbError> {
    for news in activity.pending().chunks(activity::BATCH) {
        let news = news.to_vec();
        let written = db.query_tx(move |conn| activity::store(conn, &news)).await?;
        activity.written(&written);
    }
    activity.forget_written(clock.now());
    Ok(())
}

/// Stores how many requests were made with API keys. Those that cannot be stored are counted again with the next ones.
pub async fn flush_uses(db: &Db, keys: &Data<ApiKeys>) -> Result<(), DbError> {
    let mut result = Ok(());
    for news in keys.uses.take().chunks(api_keys::BATCH) {
        let batch = news.to_vec();
        let stored = db.query_tx(move |conn| api_keys::store_usage(conn, &batch)).await;
        if stored.is_err() {
            for one in news {
                keys.uses.add(*one);
            }
        }
        result = result.and(stored);
    }
    result
}

async fn prune(db: &Db, now: DateTime<Utc>, keep_keys: TimeDelta) -> Result<(), DbError> {
    let mut result = Ok(());
    for prune in [
        sessions::prune,
        challenges::prune,
        login_networks::prune,
        api_keys::prune,
        auth::prune,
        limits::prune,
        limits::prune_requests,
        idempotency::prune,
        purge_users,
        audit::erase_purged,
    ] {
        // A failure for one table does not affect the others.
        result = result.and(prune_all(db, prune, now).await);
    }
    result.and(db.query_tx(move |conn| tokens::prune_retired(conn, now - keep_keys)).await)
}

/// Deletes devices that were not used for `LOGIN_DEVICE_RETENTION`.
async fn prune_devices(auth: &Auth) -> Result<(), DbError> {
    let (now, retention) = (auth.clock.earliest(), auth.accounts.device_retention);
    while auth.db.query_tx(move |conn| login_devices::prune(conn, now, retention)).await? {}
    Ok(())
}

/// Changes the signing keys if that is due. Without a change no query is made.
async fn keep_key_schedule(auth: &Auth) -> Result<(), DbError> {
    let (now, schedule) = (auth.clock.earliest(), Schedule::new(&auth.tokens));
    if !auth.keys.ages().is_some_and(|ages| schedule.is_due(&ages, now)) {
        return Ok(());
    }
    let sealer = auth.sealer.clone();
    // A key for RS256 takes long, and no connection waits for it.
    let generated = task::spawn_blocking(move || NewKey::generate(&sealer, schedule.algorithm)).await;
    let new = match generated {
        Ok(Ok(new)) => new,
        Ok(Err(error)) => {
            tracing::error!(%error, "no signing key can be generated");
            return Ok(());
        }
        Err(error) => resume_unwind(error.into_panic()),
    };
    let change = auth.db.query_tx(move |conn| {
        let change = tokens::keep_schedule(conn, new, &schedule, now)?;
        if let Some(change) = &change {
            let (kid, state) = match change {
                KeyChange::Announced(kid) => (kid, "next"),
                KeyChange::Promoted(kid) => (kid, "current"),
            };
            let event = Event::new(EventKind::SigningKeysRotated, Actor::Server);
            event.detail("kid", kid.as_str()).detail("state", state).record(conn, now)?;
        }
        Ok(change)
    });
    if let Some(change) = change.await? {
        tracing::info!(?change, "signing keys changed");
    }
    Ok(())
}

/// Deletes events that are older than `AUDIT_RETENTION`.
async fn prune_audit(auth: &Auth) -> Result<(), DbError> {
    let limit = auth.clock.earliest() - auth.accounts.audit_retention;
    loop {
        let sealer = auth.sealer.clone();
        if !auth.db.query_tx(move |conn| audit::prune(conn, &sealer, limit)).await? {
            return Ok(());
        }
    }
}

async fn prune_all(
    db: &Db,
    prune: fn(&mut PgConnection, DateTime<Utc>) -> QueryResult<bool>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    while db.query_tx(move |conn| prune(conn, now)).await? {}
    Ok(())
}

/// Deletes accounts for good whose time to be restored is over. [`audit::erase_purged`] follows, once the events are sealed.
fn purge_users(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let purged = users::purge(conn, now)?;
    let is_any = !purged.is_empty();
    for Purged { id: user, email, picture } in purged {
        jobs::forget_dead(conn, &user.to_string(), &email)?;
        Event::new(EventKind::UserPurged, Actor::Server).about(user).record(conn, now)?;
        if let Some(hash) = picture {
            jobs::enqueue(conn, &DeletePicture { hash }, now)?;
        }
    }
    Ok(is_any)
}
