//! The schedule: every interval one replica asks the provider and publishes what it says.
//!
//! There is no leader. Every replica tries to claim the current slot; the claim is a row with a
//! lease, so a replica that dies is replaced within the slot, and a fencing number, so one that
//! only seemed dead cannot publish late. Back-off is kept in the database as well.

use std::time::Duration;

use actix_web::web::Data;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::{Client, redirect};
use tokio::time;
use uuid::Uuid;

use super::{
    model::Report,
    providers::{Advice, Failure, coinmarketcap},
    store::{self, Claim, ProviderState, Published},
};
use crate::{
    clock::Clock,
    config::{Coins, Provider},
    db::Db,
    http::Problem,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// All tries of one slot; well within the lease.
const DEADLINE: Duration = Duration::from_secs(45);
const TRIES: u32 = 3;
const LONGEST_BACK_OFF: Duration = Duration::from_mins(30);
const ONCE_STOPPED: Duration = Duration::from_hours(24);
const KEEP_HISTORY: TimeDelta = TimeDelta::days(90);

/// Runs until the task is aborted; does nothing when only the demonstration is wanted.
///
/// # Panics
/// If no TLS back end is available, which is a mistake of the build.
pub async fn run(db: Db, clock: Clock, settings: Data<Coins>) {
    if !settings.providers.contains(&Provider::CoinMarketCap) {
        return;
    }
    let http = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("mintage/", env!("CARGO_PKG_VERSION")))
        .build()
        .expect("the settings are constants");
    let sync = Sync { db, clock, settings, http, holder: Uuid::now_v7() };
    if let Err(problem) = sync.db.run(|conn| Ok::<_, Problem>(store::clear_stops(conn)?)).await {
        tracing::warn!(%problem, "cannot clear the providers' stops");
    }
    // Several looks a slot, so that a dead replica's slot is taken over.
    let tick = (sync.settings.sync_interval / 5).clamp(Duration::from_millis(200), Duration::from_secs(10));
    let mut ticks = time::interval(tick);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(problem) = sync.attend_slot().await {
            tracing::warn!(%problem, "the coin sync has to wait");
        }
    }
}

struct Sync {
    db: Db,
    clock: Clock,
    settings: Data<Coins>,
    http: Client,
    holder: Uuid,
}

impl Sync {
    /// Claims the current slot and, if that works, runs it.
    async fn attend_slot(&self) -> Result<(), Problem> {
        let now = self.clock.now();
        let slot = start_of_slot(now, self.settings.sync_interval);
        let holder = self.holder;
        let claimed = self
            .db
            .tx(move |conn| {
                let claim = store::claim(conn, slot, holder, now, now + LEASE)?;
                let state = store::state(conn, coinmarketcap::NAME)?;
                Ok::<_, Problem>(claim.map(|claim| (claim, state)))
            })
            .await?;
        let Some((claim, state)) = claimed else {
            return Ok(());
        };
        if let Some(retry_at) = state.retry_at.filter(|retry_at| *retry_at > now) {
            self.db.run(move |conn| Ok::<_, Problem>(store::postpone(conn, &claim, retry_at)?)).await?;
            return Ok(());
        }
        match time::timeout(DEADLINE, self.fetch()).await {
            Ok(Ok(report)) => self.publish(claim, &state, report).await,
            Ok(Err(failure)) => self.give_up(claim, &state, failure).await,
            Err(_) => self.give_up(claim, &state, late()).await,
        }
    }

    /// Tries again what passes within seconds.
    async fn fetch(&self) -> Result<Report, Failure> {
        let mut tried = 1;
        loop {
            let result = coinmarketcap::fetch(&self.http, &self.settings, self.clock.now()).await;
            let wait = match &result {
                Err(failure) if tried < TRIES => brief_wait(failure.advice, tried),
                _ => None,
            };
            let Some(wait) = wait else {
                return result;
            };
            time::sleep(wait + jitter(wait)).await;
            tried += 1;
        }
    }

    async fn publish(&self, claim: Claim, state: &ProviderState, report: Report) -> Result<(), Problem> {
        let now = self.clock.now();
        let count = report.entries.len();
        let again = claim.clone();
        let published = self
            .db
            .tx(move |conn| {
                Ok::<_, Problem>(store::publish(conn, &claim, coinmarketcap::NAME, &report, now)?)
            })
            .await?;
        match published {
            Published::Yes => tracing::info!(provider = coinmarketcap::NAME, count, "coins are up to date"),
            Published::Superseded => tracing::warn!("the sync took too long: another replica has taken over"),
            Published::Older => {
                let message = "its data is older than what we have".into();
                self.give_up(again, state, Failure { message, advice: Advice::BackOff }).await?;
            }
        }
        self.db.run(move |conn| Ok(store::prune(conn, now - KEEP_HISTORY)?)).await
    }

    async fn give_up(&self, claim: Claim, state: &ProviderState, failure: Failure) -> Result<(), Problem> {
        let now = self.clock.now();
        let state = after_failure(state, failure.advice, now);
        let Failure { message, .. } = failure;
        if state.stopped {
            tracing::error!(
                provider = coinmarketcap::NAME,
                error = message,
                "the provider refuses us until its key, plan or quota is in order; then restart (it is asked once a day)"
            );
        } else {
            let retry_at = state.retry_at.map(|at| at.to_rfc3339());
            tracing::warn!(provider = coinmarketcap::NAME, error = message, retry_at, "coins are not synced");
        }
        self.db
            .tx(move |conn| {
                // The slot is not over: whoever looks after that time tries it again.
                if store::postpone(conn, &claim, state.retry_at.unwrap_or(now))? {
                    store::record_failure(conn, coinmarketcap::NAME, &state, &message, now)?;
                }
                Ok::<_, Problem>(())
            })
            .await
    }
}

fn late() -> Failure {
    Failure { message: "no answer within the slot".into(), advice: Advice::BackOff }
}

fn start_of_slot(now: DateTime<Utc>, interval: Duration) -> DateTime<Utc> {
    let micros = i64::try_from(interval.as_micros()).expect("at most a day");
    let start = now.timestamp_micros().div_euclid(micros) * micros;
    DateTime::from_timestamp_micros(start).expect("close to now")
}

/// How long to wait within the slot, if that is worth it.
fn brief_wait(advice: Advice, tried: u32) -> Option<Duration> {
    match advice {
        Advice::BackOff => Some(Duration::from_secs(1) * 3u32.pow(tried - 1)),
        Advice::After(wait) if wait <= Duration::from_secs(5) => Some(wait),
        Advice::After(_) | Advice::NextDay | Advice::Stop => None,
    }
}

/// Up to half of `wait`, so that replicas and servers do not march in step.
fn jitter(wait: Duration) -> Duration {
    let random = Uuid::now_v7().as_bytes()[15];
    wait / 2 * u32::from(random) / 256
}

fn after_failure(state: &ProviderState, advice: Advice, now: DateTime<Utc>) -> ProviderState {
    let failures = state.failures.saturating_add(1);
    let wait = |duration: Duration| now + TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(1));
    let retry_at = match advice {
        Advice::BackOff => {
            let doubled = Duration::from_secs(15) * 2u32.pow(failures.clamp(0, 10).unsigned_abs());
            Some(wait(doubled.min(LONGEST_BACK_OFF)))
        }
        Advice::After(duration) => Some(wait(duration)),
        Advice::NextDay => {
            let tomorrow = now.date_naive().succ_opt().expect("the calendar goes on");
            Some(tomorrow.and_time(NaiveTime::MIN).and_utc())
        }
        Advice::Stop => Some(wait(ONCE_STOPPED)),
    };
    ProviderState { failures, retry_at, stopped: advice == Advice::Stop }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("time")
    }

    #[test]
    fn slots_start_at_multiples_of_the_interval() {
        let slot = start_of_slot(at("2026-11-20T10:07:31Z"), Duration::from_mins(5));
        assert_eq!(slot, at("2026-11-20T10:05:00Z"));
    }

    #[test]
    fn the_provider_is_asked_again_when_it_says() {
        let now = at("2026-11-20T10:00:00Z");
        let after = |failures, advice| {
            let state = ProviderState { failures, ..ProviderState::default() };
            after_failure(&state, advice, now)
        };
        assert_eq!(after(0, Advice::BackOff).retry_at, Some(at("2026-11-20T10:00:30Z")));
        assert_eq!(after(1, Advice::BackOff).retry_at, Some(at("2026-11-20T10:01:00Z")));
        assert_eq!(after(900, Advice::BackOff).retry_at, Some(at("2026-11-20T10:30:00Z")));
        let minute = Advice::After(Duration::from_mins(1));
        assert_eq!(after(5, minute).retry_at, Some(at("2026-11-20T10:01:00Z")));
        assert_eq!(after(0, Advice::NextDay).retry_at, Some(at("2026-11-21T00:00:00Z")));
        let stopped = after(0, Advice::Stop);
        assert!(stopped.stopped);
        assert_eq!(stopped.retry_at, Some(at("2026-11-21T10:00:00Z")));
    }
}
