//! The newest snapshot in memory, in every currency: reading coins costs no query.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{
    currency::convert,
    list::CoinList,
    model::{Coin, Snapshot},
    prepared::Prepared,
    providers::{self, demo},
    store,
    stream::Event,
};
use crate::{
    clock::Clock,
    config::{Coins, Provider},
    db::Follow,
    http::{Problem, kind},
};

/// Missed syncs after which data counts as stale.
const STALE_AFTER: i32 = 3;
const MINUTE: i64 = 60;

pub struct View {
    clock: Clock,
    /// Whether more than the demonstration is wanted.
    real: bool,
    stale_after: TimeDelta,
    /// The first is the default.
    currencies: Vec<InCurrency>,
    /// Held by whoever renews what has run out, so that one request does and the others go on.
    renewal: Mutex<()>,
}

struct InCurrency {
    code: String,
    current: ArcSwapOption<Current>,
    /// The same for whoever waits for the next one.
    events: watch::Sender<Option<Event>>,
}

/// A snapshot and the answer to a request for all of it.
pub(super) struct Current {
    pub snapshot: Arc<Snapshot>,
    pub whole: Prepared,
    /// When the answer has to say something else about its age.
    renew_at: DateTime<Utc>,
}

/// Where the data comes from and how old it is.
#[derive(Serialize, ToSchema)]
pub struct Provenance {
    /// The time that the provider states for the data.
    pub as_of: DateTime<Utc>,
    /// The provider; `demo` is made up.
    #[schema(example = "coinmarketcap")]
    pub source: String,
    /// To be shown beside the data: the provider's terms ask for it. Not there for `demo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "Data provided by CoinMarketCap (https://coinmarketcap.com)")]
    pub attribution: Option<&'static str>,
    /// ISO 4217 code of every amount.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Whether the last good sync is too long ago (three missed syncs).
    pub stale: bool,
    /// Age of the data in seconds, to the minute; only when it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, minimum = 0, example = 1800)]
    pub age_seconds: Option<i64>,
}

impl View {
    #[must_use]
    pub fn new(clock: Clock, settings: &Coins) -> Self {
        let interval = TimeDelta::from_std(settings.sync_interval).expect("at most a day");
        let in_currency = |code: &String| InCurrency {
            code: code.clone(),
            current: ArcSwapOption::empty(),
            events: watch::Sender::new(None),
        };
        Self {
            clock,
            real: settings.providers.iter().any(|provider| *provider != Provider::Demo),
            stale_after: interval * STALE_AFTER,
            currencies: settings.currencies.iter().map(in_currency).collect(),
            renewal: Mutex::new(()),
        }
    }

    /// In this currency, or the default one.
    ///
    /// # Errors
    /// `validation-failed` for a currency that is not configured, `unavailable` for one that no
    /// snapshot can be told in yet.
    pub(super) fn current(&self, currency: Option<&str>) -> Result<Arc<Current>, Problem> {
        let chosen = self.chosen(currency)?;
        let kept = chosen.current.load();
        // Whoever asks for a currency gets that one; by default any is better than none.
        let told = kept.as_ref().filter(|kept| currency.is_none() || kept.snapshot.currency == chosen.code);
        let current = told.ok_or_else(|| {
            let code = &chosen.code;
            Problem::unavailable("no snapshot in this currency").detail(format!("no amounts in {code} yet"))
        })?;
        if self.clock.now() < current.renew_at {
            return Ok(current.clone());
        }
        let Ok(_renewing) = self.renewal.try_lock() else {
            return Ok(current.clone());
        };
        let renewed = self.prepare(current.snapshot.clone());
        // Not if a newer one has come meanwhile.
        chosen.current.compare_and_swap(current, Some(renewed.clone()));
        Ok(renewed)
    }

    /// The newest snapshot in this currency, and each one after it.
    ///
    /// # Errors
    /// As [`View::current`], for a currency that is not configured.
    pub(super) fn events(&self, currency: Option<&str>) -> Result<watch::Receiver<Option<Event>>, Problem> {
        Ok(self.chosen(currency)?.events.subscribe())
    }

    fn chosen(&self, currency: Option<&str>) -> Result<&InCurrency, Problem> {
        let found = match currency {
            None => self.currencies.first(),
            Some(code) => self.currencies.iter().find(|one| one.code.eq_ignore_ascii_case(code)),
        };
        found.ok_or_else(|| self.unknown_currency())
    }

    fn unknown_currency(&self) -> Problem {
        let codes: Vec<_> = self.currencies.iter().map(|one| one.code.as_str()).collect();
        let message = format!("must be one of {}", codes.join(", "));
        Problem::new(&kind::VALIDATION_FAILED).field("/currency", "currency", message)
    }

    /// What is to be said now of a snapshot.
    pub(super) fn provenance(&self, snapshot: &Snapshot) -> Provenance {
        let age = self.clock.now() - snapshot.as_of;
        let stale = age > self.stale_after;
        let minutes = age.num_seconds() / MINUTE * MINUTE;
        Provenance {
            as_of: snapshot.as_of,
            source: snapshot.provider.clone(),
            attribution: providers::attribution(&snapshot.provider),
            currency: snapshot.currency.clone(),
            stale,
            age_seconds: stale.then(|| if minutes > 0 { minutes } else { age.num_seconds() }),
        }
    }

    fn prepare(&self, snapshot: Arc<Snapshot>) -> Arc<Current> {
        let provenance = self.provenance(&snapshot);
        let renew_at = match provenance.age_seconds {
            None => snapshot.as_of + self.stale_after,
            Some(age) => snapshot.as_of + TimeDelta::seconds((age + MINUTE) / MINUTE * MINUTE),
        };
        let whole = Prepared::new(&CoinList { provenance, data: snapshot.coins.iter().collect() });
        Arc::new(Current { snapshot, whole, renew_at })
    }
}

impl Follow for View {
    fn channel(&self) -> &'static str {
        store::CHANNEL
    }

    /// Everything of one commit: the market and what people say belong together.
    fn load(&self, conn: &mut PgConnection) -> QueryResult<()> {
        conn.build_transaction().repeatable_read().read_only().run(|conn| self.load_all(conn))
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<()> {
        self.load(conn)
    }
}

impl View {
    fn load_all(&self, conn: &mut PgConnection) -> QueryResult<()> {
        let mut prepared = Vec::new();
        for (number, place) in self.currencies.iter().enumerate() {
            let mut found = store::latest(conn, &place.code, self.real)?;
            if found.is_none() && number == 0 {
                found = store::latest(conn, demo::CURRENCY, false)?;
            }
            let Some((kept, rate)) = found else { continue };
            let own = kept.currency == rate.currency;
            let told = |coin: Coin| if own { coin } else { convert(&coin, &rate) };
            let coins = kept.coins.into_iter().map(|coin| told(coin).quoted(&rate.currency)).collect();
            let snapshot = Snapshot { coins, currency: rate.currency, ..kept };
            prepared.push((place, self.prepare(Arc::new(snapshot))));
        }
        // All at once: what is fetched in two currencies is of one snapshot.
        for (place, current) in prepared {
            let id = current.snapshot.id;
            place.current.store(Some(current.clone()));
            place.events.send_if_modified(|last| {
                let is_new = last.as_ref().is_none_or(|last| last.id != id);
                if is_new {
                    *last = Some(Event::new(id, current.whole.plain()));
                }
                is_new
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Barrier, thread};

    use super::*;
    use crate::config::Config;

    #[test]
    fn renewing_an_old_answer_never_replaces_a_newer_snapshot() {
        let clock = Clock::default();
        let settings = Config::from_lookup(&|_| None).expect("the defaults").coins;
        let view = View::new(clock.clone(), &settings);
        let place = &view.currencies[0];
        let of = |id| {
            let snapshot = Snapshot {
                id,
                provider: "demo".into(),
                currency: place.code.clone(),
                as_of: DateTime::UNIX_EPOCH,
                coins: Vec::new(),
                recent: HashMap::new(),
            };
            view.prepare(Arc::new(snapshot))
        };
        for id in 1..=500 {
            place.current.store(Some(of(2 * id)));
            clock.advance(std::time::Duration::from_mins(2));
            let (newer, start) = (of(2 * id + 1), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    view.current(None).map(|_| ()).expect("a snapshot");
                });
                start.wait();
                place.current.store(Some(newer));
            });
            assert_eq!(place.current.load().as_ref().expect("a snapshot").snapshot.id, 2 * id + 1);
        }
    }
}
