//! The market of a slot: the first provider that answers.

use std::{sync::PoisonError, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{
        model::{Market, ReadRate, Report},
        providers::{self, Ask, FROZEN_AFTER, Provider},
        store::{self, Claim},
    },
    Sync,
};
use crate::{
    http::Problem,
    upstream::{self, Advice, Failure, ServiceState, after_failure, next_day},
};

/// Currencies move by little within an hour.
const RATES_EVERY: TimeDelta = TimeDelta::hours(1);
/// Older than this a rate is not known any more.
const RATES_LAST: TimeDelta = TimeDelta::hours(24);
const RATES_RETRY: TimeDelta = TimeDelta::minutes(15);
/// A rate that jumps by more is a mistake, until the one before is out of date.
const RATES_JUMP: f64 = 1.25;
/// A slot that failed is not tried again sooner.
const SHORTEST_WAIT: TimeDelta = TimeDelta::seconds(1);

pub enum Collected {
    Market(Market),
    Nothing(Nothing),
    /// The slot has gone to another replica.
    Superseded,
}

/// Nobody answered.
pub struct Nothing {
    /// When the first may be asked again.
    pub retry_at: DateTime<Utc>,
    pub reasons: String,
}

/// Whether a provider may be asked now.
enum Turn {
    Ask,
    Wait(Nothing),
    Superseded,
}

impl Sync {
    /// Asks in order; every provider has its own time, and the lease is renewed for each.
    pub(super) async fn collect(&self, claim: &Claim) -> Result<Collected, Problem> {
        let mut nothing: Option<Nothing> = None;
        let mut frozen: Option<(&dyn Provider, Report)> = None;
        for provider in providers::real(&self.settings) {
            let failed = match self.turn(claim, provider).await? {
                Turn::Superseded => return Ok(Collected::Superseded),
                Turn::Wait(until) => until,
                Turn::Ask => match self.counted_report(provider).await {
                    Ok(report) if self.clock.now() - report.as_of > FROZEN_AFTER => {
                        // Somebody else may have newer data; if nobody has, this will do.
                        if frozen.as_ref().is_none_or(|(_, other)| report.as_of > other.as_of) {
                            frozen = Some((provider, report));
                        }
                        continue;
                    }
                    Ok(report) => return self.with_rates(provider, report).await,
                    Err(failure) => self.failed(provider, failure).await?,
                },
            };
            nothing = Some(match nothing {
                None => failed,
                Some(before) => Nothing {
                    retry_at: before.retry_at.min(failed.retry_at),
                    reasons: format!("{}; {}", before.reasons, failed.reasons),
                },
            });
        }
        match frozen {
            Some((provider, report)) => self.with_rates(provider, report).await,
            None => Ok(Collected::Nothing(nothing.expect("a provider beside the demonstration"))),
        }
    }

    async fn with_rates(
        &self,
        provider: &'static dyn Provider,
        report: Report,
    ) -> Result<Collected, Problem> {
        let rates = self.rates(provider, &report).await?;
        let (provider, id_namespace) = (provider.name(), provider.id_namespace());
        Ok(Collected::Market(Market { provider, id_namespace, report, rates }))
    }

    async fn turn(&self, claim: &Claim, provider: &'static dyn Provider) -> Result<Turn, Problem> {
        let now = self.clock.now();
        if !self.hold(claim).await? {
            return Ok(Turn::Superseded);
        }
        let (name, budget) = (provider.name(), self.budget(provider));
        let (state, affordable) = self
            .db
            .tx(move |conn| {
                let state = upstream::state(conn, name)?;
                let affordable = state.waits_until(now).is_some()
                    || upstream::reserve(conn, name, 1, budget, now.date_naive())?;
                Ok::<_, Problem>((state, affordable))
            })
            .await?;
        let until = match state.waits_until(now) {
            Some(retry_at) => retry_at,
            None if !affordable => next_day(now),
            None => return Ok(Turn::Ask),
        };
        let why = if affordable {
            state.last_error.as_deref().unwrap_or("it waits")
        } else {
            "its budget is used up"
        };
        Ok(Turn::Wait(Nothing { retry_at: until, reasons: format!("{name}: {why}") }))
    }

    async fn counted_report(&self, provider: &'static dyn Provider) -> Result<Report, Failure> {
        let begin = Instant::now();
        let result = self.report(provider).await;
        self.outcomes.count(provider.name(), result.is_ok(), begin.elapsed());
        result
    }

    /// What the provider reports, if that is not from before what is there.
    async fn report(&self, provider: &'static dyn Provider) -> Result<Report, Failure> {
        let mut tried = false;
        let report = self
            .upstream
            .retry(async || {
                self.pay_again(&mut tried, provider, 1).await?;
                provider.report(self.ask(provider)).await
            })
            .await?;
        let (currency, as_of, now) = (report.currency.clone(), report.as_of, self.clock.now());
        let is_older = self.db.run(move |conn| {
            Ok::<_, Problem>(store::is_older(conn, provider.name(), &currency, as_of, now)?)
        });
        match is_older.await {
            Ok(false) => Ok(report),
            Ok(true) => Err(Failure::new(Advice::BackOff, "its data is older than what we have")),
            Err(_) => Err(Failure::new(Advice::BackOff, "the database could not be asked about it")),
        }
    }

    fn ask(&self, provider: &dyn Provider) -> Ask<'_> {
        Ask {
            upstream: &self.upstream,
            settings: self.settings.settings_of(provider.name()),
            currency: &self.settings.currencies[0],
            count: self.settings.count,
            now: self.clock.now(),
        }
    }

    /// A second try costs like the first, which is paid for.
    async fn pay_again(
        &self,
        tried: &mut bool,
        provider: &'static dyn Provider,
        cost: u32,
    ) -> Result<(), Failure> {
        if std::mem::replace(tried, true) && !self.affords(provider, cost).await {
            return Err(Failure::new(Advice::NextDay, "its budget is used up"));
        }
        Ok(())
    }

    /// Credits or calls per UTC day.
    fn budget(&self, provider: &dyn Provider) -> Option<u32> {
        self.settings.settings_of(provider.name()).daily_budget
    }

    /// Whether the budget has room, in which case it is counted.
    async fn affords(&self, provider: &'static dyn Provider, cost: u32) -> bool {
        let (budget, today) = (self.budget(provider), self.clock.now().date_naive());
        let reserved = self.db.run(move |conn| {
            Ok::<_, Problem>(upstream::reserve(conn, provider.name(), cost, budget, today)?)
        });
        reserved.await.unwrap_or(false)
    }

    /// Writes a failure down and says when the provider's turn is again.
    async fn failed(&self, provider: &'static dyn Provider, failure: Failure) -> Result<Nothing, Problem> {
        let (name, now) = (provider.name(), self.clock.now());
        let Failure { message, advice, .. } = failure;
        let error = message.clone();
        let (before, state) = self
            .db
            .tx(move |conn| {
                let before = upstream::state(conn, name)?;
                let state = after_failure(&before, advice, now);
                upstream::record_failure(conn, name, &state, &error, now)?;
                Ok::<_, Problem>((before, state))
            })
            .await?;
        let retry_at = state.retry_at.unwrap_or(now).max(now + SHORTEST_WAIT);
        if state.stopped && !before.stopped {
            tracing::error!(
                provider = name,
                error = message,
                "the provider refuses us until its key, plan or quota is in order; then restart (it is asked once a day)"
            );
        } else {
            tracing::debug!(provider = name, error = message, %retry_at, "the provider failed");
        }
        Ok(Nothing { retry_at, reasons: format!("{name}: {message}") })
    }

    /// The rates of the other currencies: the last ones for an hour, then new ones, and the last
    /// ones for a day if there are no new ones.
    async fn rates(
        &self,
        provider: &'static dyn Provider,
        report: &Report,
    ) -> Result<Vec<ReadRate>, Problem> {
        let now = self.clock.now();
        let wanted: Vec<String> =
            self.settings.currencies.iter().filter(|code| **code != report.currency).cloned().collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let currency = report.currency.clone();
        let mut known =
            self.db.run(move |conn| Ok::<_, Problem>(store::last_rates(conn, &currency)?)).await?;
        // A time to come is of a clock that was wrong.
        let younger = |rate: &ReadRate, than: TimeDelta| (now - rate.at).abs() < than;
        known.retain(|rate| wanted.contains(&rate.currency) && younger(rate, RATES_LAST));
        let fresh = known.len() == wanted.len() && known.iter().all(|rate| younger(rate, RATES_EVERY));
        let cost = u32::try_from(provider.cost_of_rates(wanted.len())).expect("few currencies");
        if fresh || now < self.rates_after() || !self.affords(provider, cost).await {
            return Ok(known);
        }
        let mut tried = false;
        let read = self.upstream.retry(async || {
            self.pay_again(&mut tried, provider, cost).await?;
            provider.rates(self.ask(provider), report, &wanted).await
        });
        match read.await {
            Ok(read) => {
                // Also those that are not told are not asked for sooner: each time costs.
                self.no_rates_before(now + RATES_EVERY);
                let accepted = accept(&known, read, now);
                known.retain(|old| accepted.iter().all(|new| new.currency != old.currency));
                known.extend(accepted);
            }
            Err(failure) => {
                tracing::debug!(provider = provider.name(), %failure, "no rates");
                let retry_at = after_failure(&ServiceState::default(), failure.advice, now).retry_at;
                self.no_rates_before(retry_at.unwrap_or(now).max(now + RATES_RETRY));
            }
        }
        Ok(known)
    }

    fn no_rates_before(&self, at: DateTime<Utc>) {
        *self.rates_after.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn rates_after(&self) -> DateTime<Utc> {
        *self.rates_after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rates that can be: positive, and not far from the one before.
fn accept(known: &[ReadRate], read: Vec<(String, f64)>, now: DateTime<Utc>) -> Vec<ReadRate> {
    let plausible = |(currency, rate): &(String, f64)| {
        let before = known.iter().find(|known| known.currency == *currency);
        let close = |before: f64| *rate <= before * RATES_JUMP && before <= *rate * RATES_JUMP;
        rate.is_normal() && *rate > 0.0 && before.is_none_or(|before| close(before.units))
    };
    read.into_iter()
        .filter(plausible)
        .map(|(currency, units)| ReadRate { currency, units, at: now })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_cannot_be_is_left_out() {
        let now = DateTime::UNIX_EPOCH;
        let known = [ReadRate { currency: "USD".into(), units: 1.3, at: now }];
        let accepted = |currency: &str, rate| accept(&known, vec![(currency.to_owned(), rate)], now).len();
        assert_eq!((accepted("USD", 1.31), accepted("USD", 1.7), accepted("USD", 0.9)), (1, 0, 0));
        assert_eq!((accepted("EUR", 1.7), accepted("EUR", 0.0), accepted("EUR", -1.0)), (1, 0, 0));
        assert_eq!((accepted("EUR", f64::NAN), accepted("EUR", f64::INFINITY)), (0, 0));
    }
}
