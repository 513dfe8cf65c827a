//! Keeps the newest snapshot in memory, in every currency, so that reading coins needs no query.

use std::{
    fmt::{self, Display, Formatter},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::web::Bytes;
use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    body::{CoinList, Provenance, event},
    delta::Delta,
};
use crate::{
    clock::{Clock, start_of_slot},
    config::{Coins, Social},
    db::{Change, Follow, SnapshotId},
    http::{Prepared, Problem, kind},
    market::{self, Coin, FROZEN_AFTER, Global, Identities, Snapshot, convert},
    social::{Limits, Sources},
};

/// Missed syncs after which data counts as stale.
const STALE_AFTER: i32 = 3;
const MINUTE: i64 = 60;
/// A sync takes some seconds, at most this or a tenth of the interval.
const SYNC_TIME: Duration = Duration::from_secs(10);

pub struct View {
    clock: Clock,
    /// Whether a provider of real data is configured.
    wants_real: bool,
    /// Between two syncs.
    pub(super) interval: TimeDelta,
    /// Between two syncs of simulated data.
    simulated_interval: TimeDelta,
    /// The first is the default.
    currencies: Vec<InCurrency>,
    /// Which ids of providers are of the same coin.
    pub(super) identities: Arc<Identities>,
    limits: Limits,
    simulated_limits: Limits,
    /// When the social sources were read, as of the newest snapshot.
    sources: ArcSwap<Sources>,
    /// Figures of the whole market, as of the newest snapshot or later.
    global: ArcSwap<Global>,
    /// Held while a response is renewed, so that one request renews it and the others use the old one.
    renewal: Mutex<()>,
}

struct InCurrency {
    code: String,
    current: ArcSwapOption<Current>,
    /// Version of the newest snapshot, watched by streams.
    newest: watch::Sender<Option<Version>>,
    /// Whether it was logged that there are no amounts in this currency.
    absence_logged: AtomicBool,
}

impl InCurrency {
    /// Logs once that there are no amounts, until there are some again.
    fn log_absence(&self, is_absent: bool) {
        if self.absence_logged.swap(is_absent, Ordering::Relaxed) || !is_absent {
            return;
        }
        let currency = &self.code;
        tracing::warn!(currency, "no amounts in this currency yet: requests for it get 503");
    }
}

/// Identifies a snapshot and its social figures, which may be added to it later. It is the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    snapshot: SnapshotId,
    /// When the social figures were computed.
    social_at: Option<DateTime<Utc>>,
}

impl Version {
    fn of(snapshot: &Snapshot) -> Self {
        let social = snapshot.coins.iter().filter_map(|coin| coin.social.as_ref());
        Self { snapshot: snapshot.id, social_at: social.map(|social| social.updated_at).max() }
    }
}

/// The snapshot and Unix time in microseconds, such as `17-1763632800000000`.
impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.snapshot)?;
        self.social_at.map_or(Ok(()), |at| write!(f, "-{}", at.timestamp_micros()))
    }
}

/// A snapshot and the prepared response with all of it.
pub(super) struct Current {
    pub version: Version,
    pub snapshot: Arc<Snapshot>,
    pub whole: Prepared,
    /// As `whole`, with sparklines; prepared at the first request for it.
    sparklined: OnceLock<Prepared>,
    /// The same body as an event for streams.
    pub event: Bytes,
    provenance: Provenance,
    /// What was served before.
    previous: Option<(Version, Arc<Snapshot>)>,
    /// What has changed since, as an event; made when the first stream needs it.
    delta: OnceLock<Bytes>,
    /// When `stale`, `age_seconds` or `next_update_at` change, or the state of a social source.
    renew_at: DateTime<Utc>,
}

impl Current {
    /// Returns the changes since this version as an event; None if it is not the version before.
    pub fn since(&self, base: Version) -> Option<&Bytes> {
        let (_, old) = self.previous.as_ref().filter(|(version, _)| *version == base)?;
        Some(self.delta.get_or_init(|| {
            let delta = Delta::between(old, &self.snapshot, base.to_string(), self.provenance.clone());
            let json = serde_json::to_vec(&delta).expect("numbers and texts");
            event(self.version, "delta", &json)
        }))
    }
}

impl View {
    pub fn new(clock: Clock, settings: &Coins, social: &Social, identities: Identities) -> Self {
        let interval = TimeDelta::from_std(settings.sync_interval).expect("at most a day");
        let simulated_interval = TimeDelta::from_std(settings.simulated_interval).expect("at most a day");
        let limits = Limits::new(social, interval, false);
        let in_currency = |code: &String| InCurrency {
            code: code.clone(),
            current: ArcSwapOption::empty(),
            newest: watch::Sender::new(None),
            absence_logged: AtomicBool::new(false),
        };
        Self {
            clock,
            wants_real: market::wants_real(settings),
            interval,
            simulated_interval,
            currencies: settings.currencies.iter().map(in_currency).collect(),
            identities: Arc::new(identities),
            sources: ArcSwap::from_pointee(Sources::new(limits.clone())),
            limits,
            simulated_limits: Limits::new(social, simulated_interval, true),
            global: ArcSwap::default(),
            renewal: Mutex::new(()),
        }
    }

    /// Returns the newest snapshot in this currency. Without a named currency it is the default one, or another one as long
    /// as there is no data in the default one.
    ///
    /// # Errors
    /// `validation-failed` for a currency that is not configured, `unavailable` for one without amounts.
    pub(super) fn current(&self, currency: Option<&str>) -> Result<Arc<Current>, Problem> {
        let chosen = self.chosen(currency)?;
        let kept = chosen.current.load();
        let usable = kept.as_ref().filter(|kept| currency.is_none() || kept.snapshot.currency == chosen.code);
        let current = usable.ok_or_else(|| {
            let code = &chosen.code;
            Problem::unavailable("no snapshot in this currency").detail(format!("no amounts in {code} yet"))
        })?;
        if self.clock.now() < current.renew_at {
            return Ok(current.clone());
        }
        let Some(_renewing) = self.renewal.try_lock() else {
            return Ok(current.clone());
        };
        let renewed = self.prepare(current.snapshot.clone(), current.previous.clone());
        // Keeps a newer snapshot that arrived meanwhile.
        chosen.current.compare_and_swap(current, Some(renewed.clone()));
        Ok(renewed)
    }

    /// Watches the version of the newest snapshot in this currency.
    ///
    /// # Errors
    /// As [`View::current`], for a currency that is not configured.
    pub(super) fn newest(&self, currency: Option<&str>) -> Result<watch::Receiver<Option<Version>>, Problem> {
        Ok(self.chosen(currency)?.newest.subscribe())
    }

    /// Returns the code of a configured currency, by default the first, in upper case.
    ///
    /// # Errors
    /// `validation-failed` for a currency that is not configured.
    pub(super) fn code(&self, currency: Option<&str>) -> Result<String, Problem> {
        Ok(self.chosen(currency)?.code.clone())
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

    /// When the social sources were read, as of the newest snapshot.
    pub(super) fn sources(&self) -> Arc<Sources> {
        self.sources.load_full()
    }

    /// What is stored of the whole market.
    pub(super) fn global(&self) -> Arc<Global> {
        self.global.load_full()
    }

    /// Returns the prepared response with the sparklines of all coins.
    pub(super) fn sparklined<'a>(&self, current: &'a Current) -> &'a Prepared {
        current.sparklined.get_or_init(|| {
            let snapshot = &current.snapshot;
            let coins: Vec<_> = snapshot.list().iter().map(|coin| snapshot.with_sparkline(coin)).collect();
            let (provenance, data) = (self.provenance(snapshot), coins.iter().collect());
            Prepared::new(&CoinList { provenance, data, absent: None })
        })
    }

    /// Describes source and age of the newest snapshot in the default currency; None until there is one.
    pub fn newest_provenance(&self) -> Option<Provenance> {
        Some(self.provenance(&self.current(None).ok()?.snapshot))
    }

    /// Describes source and age of a snapshot, as of now.
    pub(super) fn provenance(&self, snapshot: &Snapshot) -> Provenance {
        let now = self.clock.now();
        let age = (now - snapshot.as_of).max(TimeDelta::zero());
        let stale = now > self.good_until(snapshot);
        let minutes = age.num_seconds() / MINUTE * MINUTE;
        Provenance {
            as_of: snapshot.as_of,
            source: snapshot.provider.clone(),
            simulated: market::is_invented(&snapshot.provider),
            attribution: market::attribution(&snapshot.provider),
            currency: snapshot.currency.clone(),
            stale,
            age_seconds: stale.then(|| if minutes > 0 { minutes } else { age.num_seconds() }),
            next_update_at: (self.wants_real || is_simulation(snapshot))
                .then(|| self.next_update(snapshot, now)),
            social_sources: self.sources.load().status(now),
        }
    }

    /// When data newer than this snapshot is expected; later than now.
    fn next_update(&self, snapshot: &Snapshot, now: DateTime<Utc>) -> DateTime<Utc> {
        let interval = self.interval_of(snapshot).to_std().expect("not negative");
        let takes = (interval / 10).min(SYNC_TIME);
        let after = |time| start_of_slot(time, interval) + interval + takes;
        let next = after(snapshot.fetched_at);
        // The last one is late or has failed.
        if next > now { next } else { after(now - takes) }
    }

    /// When the snapshot becomes stale.
    fn good_until(&self, snapshot: &Snapshot) -> DateTime<Utc> {
        if !market::is_real(&snapshot.provider) {
            return DateTime::UNIX_EPOCH;
        }
        let missed = self.interval_of(snapshot) * STALE_AFTER;
        if is_simulation(snapshot) {
            return snapshot.fetched_at + missed;
        }
        (snapshot.fetched_at + missed).min(snapshot.as_of + missed.max(FROZEN_AFTER))
    }

    /// The time between two syncs.
    fn interval_of(&self, snapshot: &Snapshot) -> TimeDelta {
        if is_simulation(snapshot) { self.simulated_interval } else { self.interval }
    }

    fn prepare(&self, snapshot: Arc<Snapshot>, previous: Option<(Version, Arc<Snapshot>)>) -> Arc<Current> {
        let (now, sources) = (self.clock.now(), self.sources.load());
        let snapshot = with_staleness(snapshot, &sources, now);
        let provenance = self.provenance(&snapshot);
        let market = match provenance.age_seconds {
            None => self.good_until(&snapshot),
            Some(age) => snapshot.as_of + TimeDelta::seconds((age + MINUTE) / MINUTE * MINUTE),
        };
        let changes = [sources.next_change(now), provenance.next_update_at];
        let renew_at = changes.into_iter().flatten().fold(market, DateTime::min);
        let data = snapshot.list().iter().collect();
        let whole = Prepared::new(&CoinList { provenance: provenance.clone(), data, absent: None });
        let version = Version::of(&snapshot);
        let event = event(version, "snapshot", whole.plain());
        Arc::new(Current {
            version,
            snapshot,
            whole,
            sparklined: OnceLock::new(),
            event,
            provenance,
            previous,
            delta: OnceLock::new(),
            renew_at,
        })
    }
}

fn is_simulation(snapshot: &Snapshot) -> bool {
    market::SIMULATED_PROVIDERS.contains(&snapshot.provider.as_str())
}

/// Marks the social figures whose sources were not read lately.
fn with_staleness(mut snapshot: Arc<Snapshot>, sources: &Sources, now: DateTime<Utc>) -> Arc<Snapshot> {
    let stale: Vec<_> = snapshot
        .coins
        .iter()
        .map(|coin| coin.social.as_ref().is_some_and(|social| sources.is_stale(social, now)))
        .collect();
    let is_right =
        |(coin, stale): (&Coin, &bool)| coin.social.as_ref().is_none_or(|social| social.stale == *stale);
    if !snapshot.coins.iter().zip(&stale).all(is_right) {
        for (coin, stale) in Arc::make_mut(&mut snapshot).coins.iter_mut().zip(stale) {
            if let Some(social) = &mut coin.social {
                social.stale = stale;
            }
        }
    }
    snapshot
}

impl Follow for View {
    fn channel(&self) -> &'static str {
        market::CHANNEL
    }

    /// Reads everything in one transaction, because prices and social figures belong together.
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
        let is_simulated = market::is_simulated(conn)?;
        let limits = if is_simulated { &self.simulated_limits } else { &self.limits };
        self.sources.store(Arc::new(Sources::read(conn, limits.clone())?));
        self.global.store(Arc::new(market::global(conn)?));
        // Invented data is served only if there is no other: clients could not tell what is real.
        let is_real = self.wants_real && market::has_real(conn)?;
        for (number, entry) in self.currencies.iter().enumerate() {
            let mut found = market::latest(conn, Some(&entry.code), is_real)?;
            // Before the first sync, missing currencies are expected.
            if is_real || !self.wants_real {
                entry.log_absence(found.is_none());
            }
            if found.is_none() && number == 0 {
                // Data in another currency is better than none, for requests that name no currency.
                found = market::latest(conn, None, is_real)?;
            }
            let Some((kept, rate)) = found else {
                // What was served before, such as invented data, must not be served on.
                prepared.push((entry, None));
                continue;
            };
            let own = kept.currency == rate.currency;
            let converted = |coin: Coin| if own { coin } else { convert(&coin, &rate) };
            let coins = kept.coins.into_iter().map(converted).collect();
            let snapshot = Snapshot { coins, currency: rate.currency, ..kept };
            let previous = entry.current.load().as_ref().and_then(|served| {
                let same = served.version == Version::of(&snapshot);
                if same { served.previous.clone() } else { Some((served.version, served.snapshot.clone())) }
            });
            prepared.push((entry, Some(self.prepare(Arc::new(snapshot), previous))));
        }
        // All at once, so that responses in two currencies come from one snapshot.
        Ok(Box::new(move || {
            for (entry, current) in prepared {
                let version = current.as_ref().map(|current| current.version);
                entry.current.store(current);
                entry.newest.send_if_modified(|newest| std::mem::replace(newest, version) != version);
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Barrier, thread};

    use super::*;
    use crate::{
        config::{Config, Specs},
        social,
    };

    #[test]
    fn renewing_an_old_answer_never_replaces_a_newer_snapshot() {
        let clock = Clock::default();
        let specs =
            Specs { market: market::provider_specs(), social: social::provider_specs(), ..Specs::default() };
        let settings = Config::from_lookup(&|_| None, &specs).expect("the defaults");
        let view = View::new(clock.clone(), &settings.coins, &settings.social, Identities::default());
        let entry = &view.currencies[0];
        let of = |id| {
            let snapshot = Snapshot {
                id: SnapshotId(id),
                provider: "demo".into(),
                currency: entry.code.clone(),
                as_of: DateTime::UNIX_EPOCH,
                fetched_at: DateTime::UNIX_EPOCH,
                coins: Vec::new(),
                listed: 0,
                recent: HashMap::new(),
                sparklines: HashMap::new(),
            };
            view.prepare(Arc::new(snapshot), None)
        };
        for id in 1..=500 {
            entry.current.store(Some(of(2 * id)));
            clock.advance(std::time::Duration::from_mins(2));
            let (newer, start) = (of(2 * id + 1), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    view.current(None).map(|_| ()).expect("a snapshot");
                });
                start.wait();
                entry.current.store(Some(newer));
            });
            assert_eq!(
                entry.current.load().as_ref().expect("a snapshot").snapshot.id,
                SnapshotId(2 * id + 1)
            );
        }
    }
}
