//! The newest snapshot in memory: reading coins costs no query.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use serde::Serialize;
use utoipa::ToSchema;

use super::{model::Snapshot, store};
use crate::{
    clock::Clock,
    config::{Coins, Provider},
    db::Follow,
    http::Problem,
};

/// Missed syncs after which data counts as stale.
const STALE_AFTER: i32 = 3;

pub struct View {
    clock: Clock,
    /// None: only the demonstration is wanted.
    currency: Option<String>,
    stale_after: TimeDelta,
    snapshot: ArcSwapOption<Snapshot>,
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
    /// Age of the data in seconds; only when it is stale.
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
            snapshot: ArcSwapOption::empty(),
        }
    }

    /// # Errors
    /// `unavailable`, before anything was loaded.
    pub(super) fn current(&self) -> Result<(Arc<Snapshot>, Provenance), Problem> {
        let snapshot = self.snapshot.load_full();
        let snapshot = snapshot.ok_or_else(|| Problem::unavailable("there is no coin snapshot"))?;
        let age = self.clock.now() - snapshot.as_of;
        let stale = age > self.stale_after;
        let provenance = Provenance {
            as_of: snapshot.as_of,
            source: snapshot.provider.clone(),
            currency: snapshot.currency.clone(),
            stale,
            age_seconds: stale.then(|| age.num_seconds()),
        };
        Ok((snapshot, provenance))
    }
}

impl Follow for View {
    fn channel(&self) -> &'static str {
        store::CHANNEL
    }

    fn load(&self, conn: &mut PgConnection) -> QueryResult<()> {
        if let Some(snapshot) = store::latest(conn, self.currency.as_deref())? {
            self.snapshot.store(Some(Arc::new(snapshot)));
        }
        Ok(())
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<()> {
        self.load(conn)
    }
}
