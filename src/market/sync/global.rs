//! Reads figures of the whole market and the fear and greed index, once an hour on one replica.
//!
//! It runs beside the slots, which it never delays: it has a state of its own for each provider, and a daily budget keeps
//! what the slots need.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::time;

use super::{
    super::{
        fear_and_greed,
        global::{FearAndGreed, GlobalFigures, Sourced, Subject},
        providers::{self, Call, Global, Provider, simulation},
        store::{self, Basis},
    },
    Sync, check_interval,
};
use crate::{
    db::DbError,
    upstream::{self, Failure, after_failure},
};

const INTERVAL: TimeDelta = TimeDelta::hours(1);
/// While the market is simulated.
const SIMULATED_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// Time until a failed reading is tried again, at least and at most.
const MIN_WAIT: TimeDelta = TimeDelta::seconds(1);
const MAX_WAIT: TimeDelta = TimeDelta::minutes(30);

/// What was read, or when another try is worth it.
type Found<T> = Result<Sourced<T>, DateTime<Utc>>;

impl Sync {
    /// Reads what is due until the task is aborted; ends at once if all of it is turned off.
    pub(super) async fn read_global(&self) {
        if !self.settings.global && self.settings.fear_and_greed_url.is_none() {
            return;
        }
        let shortest = self.settings.simulated_interval.min(self.settings.sync_interval);
        let mut ticks = time::interval(check_interval(shortest));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.read_due().await {
                tracing::warn!(%error, "cannot read the figures of the whole market; it will be retried");
            }
        }
    }

    async fn read_due(&self) -> Result<(), DbError> {
        if self.settings.global
            && let Some(basis) = self.claim_global(Subject::Market).await?
        {
            let found = self.read_market(basis).await?;
            self.end_reading(Subject::Market, basis, found).await?;
        }
        if let Some(url) = &self.settings.fear_and_greed_url
            && let Some(basis) = self.claim_global(Subject::FearAndGreed).await?
        {
            let found = match basis {
                Basis::Simulated(world) => Ok(simulation::fear_and_greed(&world, self.clock.now())),
                Basis::Real => self.read_index(url).await?,
            };
            self.end_reading(Subject::FearAndGreed, basis, found).await?;
        }
        Ok(())
    }

    async fn claim_global(&self, subject: Subject) -> Result<Option<Basis>, DbError> {
        let (settings, now) = (self.settings.simulation, self.clock.now());
        self.db.query_tx(move |conn| store::claim_global(conn, subject, settings, now)).await
    }

    /// Reads the figures from the first provider that has them.
    async fn read_market(&self, basis: Basis) -> Result<Found<GlobalFigures>, DbError> {
        let sources: Vec<_> = match basis {
            Basis::Simulated(world) => vec![providers::simulated(&world, self.clock.now())],
            Basis::Real => {
                providers::real(&self.settings).filter(|provider| !provider.is_simulated()).collect()
            }
        };
        let mut retry_at = self.clock.now() + MAX_WAIT;
        for provider in sources {
            let Some(global) = provider.global() else { continue };
            if let Some(waits_until) = self.reserve_global(provider).await? {
                retry_at = retry_at.min(waits_until);
                continue;
            }
            match self.ask(provider, global, basis).await {
                Ok(found) => return Ok(Ok(found)),
                Err(failure) => {
                    let service = providers::global_service(provider.name());
                    retry_at = retry_at.min(self.note_failure(&service, failure).await?);
                }
            }
        }
        Ok(Err(retry_at))
    }

    async fn ask(
        &self,
        provider: &'static dyn Provider,
        global: &dyn Global,
        basis: Basis,
    ) -> Result<Sourced<GlobalFigures>, Failure> {
        let begin = Instant::now();
        let world = match basis {
            Basis::Simulated(world) => Some(world),
            Basis::Real => None,
        };
        let read = async |call: Call<'_>| global.read_global(Call { world, ..call }).await;
        let listing = self.charged(provider, 1, read).await;
        let found = listing
            .and_then(|listing| listing.check(&self.settings.currencies, provider.name(), self.clock.now()));
        let service = providers::global_service(provider.name());
        self.upstream.outcomes().count(&service, found.is_ok(), begin.elapsed());
        found
    }

    /// Counts the cost of a call; returns until when the provider must not be called instead, if it must not.
    async fn reserve_global(
        &self,
        provider: &'static dyn Provider,
    ) -> Result<Option<DateTime<Utc>>, DbError> {
        let (name, now) = (provider.name(), self.clock.now());
        let limits = self.spare_limits(name, now);
        let reserved = self.db.query_tx(move |conn| {
            let list = upstream::state(conn, name)?;
            let own = upstream::state(conn, &providers::global_service(name))?;
            let waits_until = list.waits_until(now).max(own.waits_until(now));
            if waits_until.is_some() {
                return Ok(waits_until);
            }
            let is_reserved = upstream::reserve(conn, name, 1, limits, now.date_naive())?;
            // What the slots need becomes less as the day passes.
            Ok((!is_reserved).then(|| now + MAX_WAIT))
        });
        reserved.await
    }

    async fn read_index(&self, url: &str) -> Result<Found<FearAndGreed>, DbError> {
        let (now, begin) = (self.clock.now(), Instant::now());
        let state = self.db.query(|conn| upstream::state(conn, fear_and_greed::SOURCE)).await?;
        if let Some(waits_until) = state.waits_until(now) {
            return Ok(Err(waits_until));
        }
        let found = fear_and_greed::read(&self.upstream, url, now).await;
        self.upstream.outcomes().count(fear_and_greed::SOURCE, found.is_ok(), begin.elapsed());
        Ok(match found {
            Ok(found) => Ok(found),
            Err(failure) => Err(self.note_failure(fear_and_greed::SOURCE, failure).await?),
        })
    }

    /// Stores the state after a failure; returns when the service may be called again.
    async fn note_failure(&self, service: &str, failure: Failure) -> Result<DateTime<Utc>, DbError> {
        let (now, name) = (self.clock.now(), service.to_owned());
        let Failure { message, advice, .. } = failure;
        let error = message.clone();
        let noted = self.db.query_tx(move |conn| {
            let before = upstream::state(conn, &name)?;
            let state = after_failure(&before, advice, now);
            upstream::record_failure(conn, &name, &state, &error, now)?;
            Ok((before.failures, state.retry_at))
        });
        let (failures, retry_at) = noted.await?;
        if failures == 0 {
            tracing::warn!(service, error = message, "figures of the whole market are not available");
        } else {
            tracing::debug!(service, error = message, "figures of the whole market are still not available");
        }
        Ok(retry_at.unwrap_or(now))
    }

    /// Publishes what was read, or notes when it is tried again. Figures of a market that was replaced meanwhile are dropped.
    async fn end_reading(
        &self,
        subject: Subject,
        basis: Basis,
        found: Found<impl Serialize + Send + 'static>,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let found = match found {
            Ok(found) => found,
            Err(retry_at) => {
                let next = retry_at.clamp(now + MIN_WAIT, now + MAX_WAIT);
                return self.db.query(move |conn| store::postpone_global(conn, subject, next)).await;
            }
        };
        let interval = if basis == Basis::Real { INTERVAL } else { SIMULATED_INTERVAL };
        let saved = self.db.query_tx(move |conn| {
            if !store::save_global(conn, subject, basis, &found, now + interval)? {
                return Ok(());
            }
            match subject {
                Subject::Market => {
                    upstream::record_success(conn, &providers::global_service(&found.source), now)?;
                }
                Subject::FearAndGreed if basis == Basis::Real => {
                    upstream::record_success(conn, fear_and_greed::SOURCE, now)?;
                }
                // A simulated index is computed, not called.
                Subject::FearAndGreed => {}
            }
            store::announce(conn)
        });
        saved.await
    }
}
