//! The newest snapshot in memory, in every currency: reading coins costs no query.

use std::{
    fmt::{self, Display, Formatter},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::web::Bytes;
use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use tokio::sync::watch;

use super::body::{CoinList, Provenance, event};
use crate::{
    clock::Clock,
    config::Coins,
    db::{Change, Follow},
    http::{Prepared, Problem, kind},
    market::{self, Coin, DEMO_CURRENCY, FROZEN_AFTER, Snapshot, convert},
};

/// Missed syncs after which data counts as stale.
const STALE_AFTER: i32 = 3;
const MINUTE: i64 = 60;

pub struct View {
    clock: Clock,
    /// Whether more than the demonstration is wanted.
    real: bool,
    /// From one sync to the next.
    pub(super) interval: TimeDelta,
    /// The first is the default.
    currencies: Vec<InCurrency>,
    /// Held by whoever renews what has run out, so that one request does and the others go on.
    renewal: Mutex<()>,
}

struct InCurrency {
    code: String,
    current: ArcSwapOption<Current>,
    /// Its version, for streams that wait for the next one.
    newest: watch::Sender<Option<Version>>,
    /// Whether the log says that nobody tells it.
    missed: AtomicBool,
}

/// A snapshot with what people say of its coins. When that is added to a snapshot later, it makes another version; the
/// same one on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    snapshot: i64,
    /// When the sources were last read.
    said_at: Option<DateTime<Utc>>,
}

impl Version {
    fn of(snapshot: &Snapshot) -> Self {
        let said = snapshot.coins.iter().filter_map(|coin| coin.social.as_ref());
        Self { snapshot: snapshot.id, said_at: said.map(|social| social.as_of).max() }
    }
}

/// Such as `17-1763632800000000`: the snapshot, and microseconds of Unix time.
impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.snapshot)?;
        self.said_at.map_or(Ok(()), |at| write!(f, "-{}", at.timestamp_micros()))
    }
}

/// A snapshot and the answer to a request for all of it.
pub(super) struct Current {
    pub version: Version,
    pub snapshot: Arc<Snapshot>,
    pub whole: Prepared,
    /// The same for streams.
    pub event: Bytes,
    /// When the answer has to say something else about its age.
    renew_at: DateTime<Utc>,
}

impl View {
    #[must_use]
    pub fn new(clock: Clock, settings: &Coins) -> Self {
        let in_currency = |code: &String| InCurrency {
            code: code.clone(),
            current: ArcSwapOption::empty(),
            newest: watch::Sender::new(None),
            missed: AtomicBool::new(false),
        };
        Self {
            clock,
            real: market::wants_real(settings),
            interval: TimeDelta::from_std(settings.sync_interval).expect("at most a day"),
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

    /// The version of the newest snapshot in this currency, and of each one after it.
    ///
    /// # Errors
    /// As [`View::current`], for a currency that is not configured.
    pub(super) fn newest(&self, currency: Option<&str>) -> Result<watch::Receiver<Option<Version>>, Problem> {
        Ok(self.chosen(currency)?.newest.subscribe())
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
        let now = self.clock.now();
        let age = (now - snapshot.as_of).max(TimeDelta::zero());
        let stale = now > self.good_until(snapshot);
        let minutes = age.num_seconds() / MINUTE * MINUTE;
        Provenance {
            as_of: snapshot.as_of,
            source: snapshot.provider.clone(),
            attribution: market::attribution(&snapshot.provider),
            currency: snapshot.currency.clone(),
            stale,
            age_seconds: stale.then(|| if minutes > 0 { minutes } else { age.num_seconds() }),
        }
    }

    /// From when on it is stale.
    fn good_until(&self, snapshot: &Snapshot) -> DateTime<Utc> {
        if !market::is_real(&snapshot.provider) {
            return DateTime::UNIX_EPOCH;
        }
        let missed = self.interval * STALE_AFTER;
        (snapshot.fetched_at + missed).min(snapshot.as_of + missed.max(FROZEN_AFTER))
    }

    fn prepare(&self, snapshot: Arc<Snapshot>) -> Arc<Current> {
        let provenance = self.provenance(&snapshot);
        let renew_at = match provenance.age_seconds {
            None => self.good_until(&snapshot),
            Some(age) => snapshot.as_of + TimeDelta::seconds((age + MINUTE) / MINUTE * MINUTE),
        };
        let whole = Prepared::new(&CoinList { provenance, data: snapshot.coins.iter().collect() });
        let version = Version::of(&snapshot);
        let event = event(version, whole.plain());
        Arc::new(Current { version, snapshot, whole, event, renew_at })
    }
}

impl Follow for View {
    fn channel(&self) -> &'static str {
        market::CHANNEL
    }

    /// Everything of one commit: the market and what people say belong together.
    fn load(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>> {
        conn.build_transaction().repeatable_read().read_only().run(|conn| self.load_all(conn))
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<Change<'_>> {
        self.load(conn)
    }
}

impl View {
    fn load_all(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>> {
        let mut prepared = Vec::new();
        // Before the first sync it is no news that a currency is missing.
        let mut synced = !self.real;
        for (number, place) in self.currencies.iter().enumerate() {
            let mut found = market::latest(conn, &place.code, self.real)?;
            if found.is_none() && synced && !place.missed.swap(true, Ordering::Relaxed) {
                let currency = &place.code;
                tracing::warn!(
                    currency,
                    "no provider tells this currency yet: whoever asks for it gets a 503"
                );
            }
            synced |= found.as_ref().is_some_and(|(kept, _)| market::is_real(&kept.provider));
            if found.is_none() && number == 0 {
                found = market::latest(conn, DEMO_CURRENCY, false)?;
            }
            let Some((kept, rate)) = found else { continue };
            let own = kept.currency == rate.currency;
            let converted = |coin: Coin| if own { coin } else { convert(&coin, &rate) };
            let coins = kept.coins.into_iter().map(converted).collect();
            let snapshot = Snapshot { coins, currency: rate.currency, ..kept };
            prepared.push((place, self.prepare(Arc::new(snapshot))));
        }
        // All at once: what is fetched in two currencies is of one snapshot.
        Ok(Box::new(move || {
            for (place, current) in prepared {
                let version = current.version;
                place.current.store(Some(current));
                place.newest.send_if_modified(|newest| newest.replace(version) != Some(version));
            }
        }))
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
        let settings = Config::from_lookup(&|_| None, &market::provider_specs()).expect("the defaults").coins;
        let view = View::new(clock.clone(), &settings);
        let place = &view.currencies[0];
        let of = |id| {
            let snapshot = Snapshot {
                id,
                provider: "demo".into(),
                currency: place.code.clone(),
                as_of: DateTime::UNIX_EPOCH,
                fetched_at: DateTime::UNIX_EPOCH,
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
