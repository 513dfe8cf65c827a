//! Fills the history of coins from before they were synced, one coin at a time, from providers that have it.
//!
//! One replica at a time reads one history, and another follows ten seconds later at the earliest. The slots come first:
//! they run at the same time, a daily budget keeps what they need, and a failure here does not delay them.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;

use super::{
    super::{
        providers::{self, PastSource},
        store::{self, Backfill, BackfillSource, Outcome},
    },
    Sync, check_interval,
};
use crate::{
    db::DbError,
    upstream::{self, Failure, Limits, after_failure, next_day},
};

impl Sync {
    /// Looks for coins without a long history until the task is aborted; ends at once if no provider has one.
    pub(super) async fn backfill(&self) {
        let sources = providers::past(&self.settings);
        if !self.settings.backfill || sources.is_empty() {
            return;
        }
        let mut ticks = time::interval(check_interval(self.settings.sync_interval));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.fill_next(&sources).await {
                tracing::warn!(%error, "cannot fill the history of a coin; it will be retried");
            }
        }
    }

    /// Reads and stores the history of one coin, if one is due.
    async fn fill_next(&self, sources: &[PastSource]) -> Result<(), DbError> {
        let (now, currency) = (self.clock.now(), self.settings.currencies[0].clone());
        let offered = sources
            .iter()
            .map(|source| BackfillSource {
                provider: source.provider.name(),
                id_namespace: source.provider.id_namespace(),
                steps: source.past.steps(&currency),
                limits: self.spare_limits(source.provider.name(), now),
            })
            .collect::<Vec<_>>();
        let identities = self.identities.clone();
        let claimed =
            self.db.query_tx(move |conn| store::claim_backfill(conn, &currency, &offered, &identities, now));
        let Some(backfill) = claimed.await? else { return Ok(()) };
        let source = sources.iter().find(|source| source.provider.name() == backfill.provider);
        let source = source.expect("it was offered");
        let begin = Instant::now();
        let (coin, step) = (backfill.provider_coin_id.as_str(), backfill.step);
        let read =
            self.charged(source.provider, 1, async |call| source.past.read(call, coin, step).await).await;
        self.upstream.outcomes().count(backfill.provider, read.is_ok(), begin.elapsed());
        self.store_past(backfill, read).await
    }

    async fn store_past(
        &self,
        backfill: Backfill,
        read: Result<Vec<providers::PastValue>, Failure>,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let (provider, coin, step) = (backfill.provider, backfill.coin_id, backfill.step);
        let stored = self.db.query_tx(move |conn| {
            let service = store::past_service(provider);
            let failure = match read {
                Ok(values) => {
                    let count = store::insert_past(conn, &backfill, &values, now)?;
                    upstream::record_success(conn, &service, now)?;
                    if count > 0 {
                        store::end_backfill(conn, &backfill, Outcome::Done, now)?;
                        // Sparklines are longer now.
                        store::announce(conn)?;
                        return Ok(None);
                    }
                    Failure::unexpected_body("no values")
                }
                Err(failure) => failure,
            };
            let outcome = if failure.isolated { Outcome::Failed } else { Outcome::Postponed };
            store::end_backfill(conn, &backfill, outcome, now)?;
            if !failure.isolated {
                let state = after_failure(&upstream::state(conn, &service)?, failure.advice, now);
                upstream::record_failure(conn, &service, &state, &failure.message, now)?;
            }
            Ok(Some(failure.message))
        });
        match stored.await? {
            None => tracing::debug!(provider, %coin, seconds = step.seconds(), "history filled"),
            Some(error) => tracing::debug!(provider, %coin, error, "the history of a coin is unavailable"),
        }
        Ok(())
    }

    /// What the slots of the rest of the day do not need of the limits of a provider.
    pub(super) fn spare_limits(&self, provider: &str, now: DateTime<Utc>) -> Limits {
        let limits = providers::limits(self.settings.settings_of(provider));
        let interval = TimeDelta::from_std(self.settings.sync_interval).expect("at most a day");
        let left = next_day(now) - now;
        // A call in each slot, and one for rates in each hour.
        let needed = left.num_seconds() / interval.num_seconds().max(1) + left.num_hours() + 2;
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        Limits { per_day: limits.per_day.map(|limit| limit.saturating_sub(needed)), ..limits }
    }
}
