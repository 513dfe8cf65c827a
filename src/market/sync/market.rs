//! Fetches the market of a slot from the first provider that answers.

use std::{cell::Cell, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;

use super::{
    super::{
        model::{Market, RateChanges, ReadRate, Report},
        providers::{self, Call, FROZEN_AFTER, Provider},
        store::{self, Claim},
    },
    Sync,
};
use crate::{
    db::DbError,
    upstream::{self, Advice, Failure, Limits, ServiceState, after_failure, next_day},
};

/// Exchange rates change little within an hour.
const RATES_INTERVAL: TimeDelta = TimeDelta::hours(1);
/// Older rates are not used.
const MAX_RATE_AGE: TimeDelta = TimeDelta::hours(24);
const RATES_RETRY: TimeDelta = TimeDelta::minutes(15);
/// A rate that changes by a larger factor is rejected as an error, until the previous one is too old.
const MAX_RATE_JUMP: f64 = 1.25;
/// Time until a simulation is tried again that real data rules out.
const SIMULATION_RETRY: TimeDelta = TimeDelta::minutes(5);
/// Time until a failed slot is retried, at least.
const MIN_WAIT: TimeDelta = TimeDelta::seconds(1);

pub enum MarketResult {
    Fetched(Market),
    Unavailable(Unavailable),
    /// Another replica has taken over the slot.
    Superseded,
}

/// No provider answered.
pub struct Unavailable {
    /// When the first provider may be called again.
    pub retry_at: DateTime<Utc>,
    pub reasons: String,
}

/// Tells whether a provider may be called now.
enum Readiness {
    Ready,
    Waiting(Unavailable),
    Superseded,
}

/// The outcome of [`Sync::try_provider`].
enum Tried {
    Report(&'static dyn Provider, Report),
    Failed(Unavailable),
    Superseded,
}

impl Sync {
    /// Calls the providers in order. Each has the full time limit, and the lease is renewed before each.
    pub(super) async fn fetch_market(&self, claim: &Claim) -> Result<MarketResult, DbError> {
        let mut unavailable: Option<Unavailable> = None;
        let mut frozen: Option<(&dyn Provider, Report)> = None;
        for provider in providers::real(&self.settings) {
            if provider.is_simulated() && frozen.is_some() {
                // Old real data is better than invented data.
                continue;
            }
            let failed = match self.try_provider(claim, provider).await? {
                Tried::Superseded => return Ok(MarketResult::Superseded),
                Tried::Failed(unavailable) => unavailable,
                Tried::Report(provider, report) if self.clock.now() - report.as_of > FROZEN_AFTER => {
                    // The next provider may have newer data; otherwise the newest frozen report is published.
                    if frozen.as_ref().is_none_or(|(_, other)| report.as_of > other.as_of) {
                        frozen = Some((provider, report));
                    }
                    continue;
                }
                Tried::Report(provider, report) => return self.with_rates(provider, report).await,
            };
            unavailable = Some(match unavailable {
                None => failed,
                Some(before) => Unavailable {
                    retry_at: before.retry_at.min(failed.retry_at),
                    reasons: format!("{}; {}", before.reasons, failed.reasons),
                },
            });
        }
        match frozen {
            Some((provider, report)) => self.with_rates(provider, report).await,
            None => Ok(MarketResult::Unavailable(unavailable.expect("without a provider there is no sync"))),
        }
    }

    /// Calls a provider if it may be called; of the simulation, the source that has its turn.
    async fn try_provider(
        &self,
        claim: &Claim,
        mut provider: &'static dyn Provider,
    ) -> Result<Tried, DbError> {
        if provider.is_simulated() {
            let Some(simulated) = self.simulated_provider(claim).await? else {
                let reasons = format!("{}: real market data is stored", provider.name());
                let retry_at = self.clock.now() + SIMULATION_RETRY;
                return Ok(Tried::Failed(Unavailable { retry_at, reasons }));
            };
            provider = simulated;
        }
        Ok(match self.readiness(claim, provider).await? {
            Readiness::Superseded => Tried::Superseded,
            Readiness::Waiting(unavailable) => Tried::Failed(unavailable),
            Readiness::Ready => match self.report_counted(provider).await {
                Ok(report) => Tried::Report(provider, report),
                Err(failure) => Tried::Failed(self.record_failure(provider, failure).await?),
            },
        })
    }

    async fn with_rates(
        &self,
        provider: &'static dyn Provider,
        report: Report,
    ) -> Result<MarketResult, DbError> {
        let rates = if provider.is_simulated() {
            let currencies = &self.settings.currencies;
            let rates = async |call: Call<'_>| provider.rates(call, &report, currencies).await;
            self.charged(provider, 0, rates).await.unwrap_or_default()
        } else {
            self.end_simulation().await?;
            self.rates(provider, &report).await?
        };
        let (provider, id_namespace) = (provider.name(), provider.id_namespace());
        Ok(MarketResult::Fetched(Market { provider, id_namespace, report, rates }))
    }

    async fn readiness(&self, claim: &Claim, provider: &'static dyn Provider) -> Result<Readiness, DbError> {
        let now = self.clock.now();
        if !self.renew_lease(claim).await? {
            return Ok(Readiness::Superseded);
        }
        let (name, limits) = (provider.name(), self.limits(provider));
        let (state, affordable) = self
            .db
            .query_tx(move |conn| {
                let state = upstream::state(conn, name)?;
                let affordable = state.waits_until(now).is_some()
                    || upstream::reserve(conn, name, 1, limits, now.date_naive())?;
                Ok((state, affordable))
            })
            .await?;
        let until = match state.waits_until(now) {
            Some(retry_at) => retry_at,
            // No slot waits longer than a day.
            None if !affordable => next_day(now),
            None => return Ok(Readiness::Ready),
        };
        let why = if affordable {
            state.last_error.as_deref().unwrap_or("waiting")
        } else {
            "its budget is used up"
        };
        Ok(Readiness::Waiting(Unavailable { retry_at: until, reasons: format!("{name}: {why}") }))
    }

    async fn report_counted(&self, provider: &'static dyn Provider) -> Result<Report, Failure> {
        let begin = Instant::now();
        let result = self.fetch_report(provider).await;
        self.upstream.outcomes().count(provider.name(), result.is_ok(), begin.elapsed());
        result
    }

    /// Fetches a report and refuses one that is older than the stored data.
    async fn fetch_report(&self, provider: &'static dyn Provider) -> Result<Report, Failure> {
        let followed = self.followed(provider).await;
        let report = self
            .upstream
            .retry(async |number| {
                self.reserve_retry(number, provider, 1).await?;
                let report =
                    async |call: Call<'_>| provider.report(Call { followed: &followed, ..call }).await;
                self.charged(provider, 1, report).await
            })
            .await?;
        let (currency, as_of, now) = (report.currency.clone(), report.as_of, self.clock.now());
        let is_older =
            self.db.query(move |conn| store::is_older(conn, provider.name(), &currency, as_of, now));
        match is_older.await {
            Ok(false) => Ok(report),
            Ok(true) => Err(Failure::new(Advice::BackOff, "its data is older than the stored data")),
            Err(_) => Err(Failure::new(
                Advice::BackOff,
                "the database was not available to check the age of its data",
            )),
        }
    }

    /// Returns the coins outside of the list that users follow, by their ids at the provider; none if they cannot be found
    /// now, because the list is more important.
    async fn followed(&self, provider: &'static dyn Provider) -> Vec<String> {
        let (hooks, identities, limit) =
            (self.hooks.clone(), self.identities.clone(), self.settings.followed);
        let find = move |conn: &mut PgConnection| {
            let listed = store::listed(conn)?;
            let coins = hooks.followed(conn, &listed, limit)?;
            store::ids_at(conn, provider.id_namespace(), &coins, &identities)
        };
        self.db.query(find).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot find the followed coins");
            Vec::new()
        })
    }

    /// Makes a call whose cost is reserved, and replaces that by what the provider has charged, if it says so.
    pub(super) async fn charged<T>(
        &self,
        provider: &'static dyn Provider,
        reserved: u32,
        send: impl AsyncFnOnce(Call<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (charged, now) = (Cell::new(None), self.clock.now());
        let result = send(Call {
            upstream: &self.upstream,
            settings: self.settings.settings_of(provider.name()),
            currency: &self.settings.currencies[0],
            count: self.settings.count,
            followed: &[],
            now,
            world: self.world(),
            charged: &charged,
        })
        .await;
        if let Some(charged) = charged.get().filter(|charged| *charged != reserved) {
            let (name, day) = (provider.name(), now.date_naive());
            let settled = self.db.query(move |conn| upstream::settle(conn, name, reserved, charged, day));
            if let Err(error) = settled.await {
                tracing::debug!(%error, provider = name, "cannot count what a call cost: the estimate stays");
            }
        }
        result
    }

    /// Reserves the cost of a try; that of the first one is reserved before.
    async fn reserve_retry(
        &self,
        number: u32,
        provider: &'static dyn Provider,
        cost: u32,
    ) -> Result<(), Failure> {
        if number > 1 && !self.reserve(provider, cost).await {
            return Err(Failure::new(Advice::NextDay, "its budget is used up"));
        }
        Ok(())
    }

    fn limits(&self, provider: &dyn Provider) -> Limits {
        providers::limits(self.settings.settings_of(provider.name()))
    }

    /// Counts the cost in the budgets; false if it does not fit.
    async fn reserve(&self, provider: &'static dyn Provider, cost: u32) -> bool {
        let (limits, today) = (self.limits(provider), self.clock.now().date_naive());
        let reserved =
            self.db.query(move |conn| upstream::reserve(conn, provider.name(), cost, limits, today));
        reserved.await.unwrap_or(false)
    }

    /// Stores a failure and returns when the provider may be called again.
    async fn record_failure(
        &self,
        provider: &'static dyn Provider,
        failure: Failure,
    ) -> Result<Unavailable, DbError> {
        let (name, now) = (provider.name(), self.clock.now());
        let Failure { message, advice, .. } = failure;
        let error = message.clone();
        let (before, state) = self
            .db
            .query_tx(move |conn| {
                let before = upstream::state(conn, name)?;
                let state = after_failure(&before, advice, now);
                upstream::record_failure(conn, name, &state, &error, now)?;
                Ok((before, state))
            })
            .await?;
        let retry_at = state.retry_at.unwrap_or(now).max(now + MIN_WAIT);
        if state.stopped && !before.stopped {
            tracing::error!(
                provider = name,
                error = message,
                "the provider rejects our key, plan or quota: fix it and restart (retried daily)"
            );
        } else {
            tracing::debug!(provider = name, error = message, %retry_at, "market data provider failed");
        }
        Ok(Unavailable { retry_at, reasons: format!("{name}: {message}") })
    }

    /// Returns the rates of the other currencies: the last ones for an hour, then new ones; the last ones for up to a day
    /// if new ones cannot be fetched.
    async fn rates(
        &self,
        provider: &'static dyn Provider,
        report: &Report,
    ) -> Result<Vec<ReadRate>, DbError> {
        let now = self.clock.now();
        let wanted: Vec<String> =
            self.settings.currencies.iter().filter(|code| **code != report.currency).cloned().collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let currency = report.currency.clone();
        let mut known = self.db.query(move |conn| store::last_rates(conn, &currency)).await?;
        // A time in the future comes from a wrong clock.
        let younger = |rate: &ReadRate, than: TimeDelta| (now - rate.at).abs() < than;
        known.retain(|rate| wanted.contains(&rate.currency) && younger(rate, MAX_RATE_AGE));
        let fresh = known.len() == wanted.len() && known.iter().all(|rate| younger(rate, RATES_INTERVAL));
        // Changes that were stated with a rate end with the hour of that rate, then our own history counts.
        for rate in known.iter_mut().filter(|rate| !younger(rate, RATES_INTERVAL)) {
            rate.changes = RateChanges::default();
        }
        let cost = u32::try_from(provider.cost_of_rates(wanted.len())).expect("few currencies");
        if fresh || now < self.rates_after() || !self.reserve(provider, cost).await {
            return Ok(known);
        }
        let read = self.upstream.retry(async |number| {
            self.reserve_retry(number, provider, cost).await?;
            self.charged(provider, cost, async |call| provider.rates(call, report, &wanted).await).await
        });
        match read.await {
            Ok(read) => {
                // Unsupported currencies wait an hour too, since each request costs credits.
                self.delay_rates(now + RATES_INTERVAL);
                let accepted = accept(&known, read);
                known.retain(|old| accepted.iter().all(|new| new.currency != old.currency));
                known.extend(accepted);
            }
            Err(failure) => {
                tracing::debug!(provider = provider.name(), %failure, "exchange rates unavailable");
                let retry_at = after_failure(&ServiceState::default(), failure.advice, now).retry_at;
                self.delay_rates(retry_at.unwrap_or(now).max(now + RATES_RETRY));
            }
        }
        Ok(known)
    }

    fn delay_rates(&self, at: DateTime<Utc>) {
        *self.rates_after.lock() = at;
    }

    fn rates_after(&self) -> DateTime<Utc> {
        *self.rates_after.lock()
    }
}

/// Returns the plausible rates: positive and close to the previous one.
fn accept(known: &[ReadRate], mut read: Vec<ReadRate>) -> Vec<ReadRate> {
    read.retain(|ReadRate { currency, units, .. }| {
        let before = known.iter().find(|known| known.currency == *currency);
        let close = |before: f64| *units <= before * MAX_RATE_JUMP && before <= *units * MAX_RATE_JUMP;
        units.is_normal() && *units > 0.0 && before.is_none_or(|before| close(before.units))
    });
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implausible_rates_are_left_out() {
        let rate = |currency: &str, units| {
            let (changes, at) = (RateChanges::default(), DateTime::UNIX_EPOCH);
            ReadRate { currency: currency.to_owned(), units, changes, at }
        };
        let known = [rate("USD", 1.3)];
        let accepted = |currency: &str, units| accept(&known, vec![rate(currency, units)]).len();
        assert_eq!((accepted("USD", 1.31), accepted("USD", 1.7), accepted("USD", 0.9)), (1, 0, 0));
        assert_eq!((accepted("EUR", 1.7), accepted("EUR", 0.0), accepted("EUR", -1.0)), (1, 0, 0));
        assert_eq!((accepted("EUR", f64::NAN), accepted("EUR", f64::INFINITY)), (0, 0));
    }
}
