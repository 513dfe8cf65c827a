//! The newest snapshot in memory: reading coins costs no query.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list::CoinList, model::Snapshot, prepared::Prepared, store};
use crate::{
    clock::Clock,
    config::{Coins, Provider},
    db::Follow,
    http::Problem,
};

/// Missed syncs after which data counts as stale.
const STALE_AFTER: i32 = 3;
const MINUTE: i64 = 60;

pub struct View {
    clock: Clock,
    /// None: only the demonstration is wanted.
    currency: Option<String>,
    stale_after: TimeDelta,
    current: ArcSwapOption<Current>,
    /// Held by whoever renews what has run out, so that one request does and the others go on.
    renewal: Mutex<()>,
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
        let real = settings.providers.iter().any(|provider| *provider != Provider::Demo);
        let interval = TimeDelta::from_std(settings.sync_interval).expect("at most a day");
        Self {
            clock,
            currency: real.then(|| settings.currency.clone()),
            stale_after: interval * STALE_AFTER,
            current: ArcSwapOption::empty(),
            renewal: Mutex::new(()),
        }
    }

    /// # Errors
    /// `unavailable`, before anything was loaded.
    pub(super) fn current(&self) -> Result<Arc<Current>, Problem> {
        let current = self.current.load_full();
        let current = current.ok_or_else(|| Problem::unavailable("there is no coin snapshot"))?;
        if self.clock.now() < current.renew_at {
            return Ok(current);
        }
        let Ok(_renewing) = self.renewal.try_lock() else {
            return Ok(current);
        };
        Ok(self.publish(current.snapshot.clone()))
    }

    /// What is to be said now of a snapshot.
    pub(super) fn provenance(&self, snapshot: &Snapshot) -> Provenance {
        let age = self.clock.now() - snapshot.as_of;
        let stale = age > self.stale_after;
        let minutes = age.num_seconds() / MINUTE * MINUTE;
        Provenance {
            as_of: snapshot.as_of,
            source: snapshot.provider.clone(),
            currency: snapshot.currency.clone(),
            stale,
            age_seconds: stale.then(|| if minutes > 0 { minutes } else { age.num_seconds() }),
        }
    }

    fn publish(&self, snapshot: Arc<Snapshot>) -> Arc<Current> {
        let provenance = self.provenance(&snapshot);
        let renew_at = match provenance.age_seconds {
            None => snapshot.as_of + self.stale_after,
            Some(age) => snapshot.as_of + TimeDelta::seconds((age + MINUTE) / MINUTE * MINUTE),
        };
        let whole = Prepared::new(&CoinList { provenance, data: snapshot.coins.iter().collect() });
        let current = Arc::new(Current { snapshot, whole, renew_at });
        self.current.store(Some(current.clone()));
        current
    }
}

impl Follow for View {
    fn channel(&self) -> &'static str {
        store::CHANNEL
    }

    fn load(&self, conn: &mut PgConnection) -> QueryResult<()> {
        if let Some(snapshot) = store::latest(conn, self.currency.as_deref())? {
            self.publish(Arc::new(snapshot));
        }
        Ok(())
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<()> {
        self.load(conn)
    }
}
