//! Runs the schedule: every interval one replica calls the providers and publishes a snapshot.
//!
//! There is no leader. Every replica tries to claim the current slot ([`store::claim`]). A claim is a row with a lease,
//! which its holder renews, and a fencing number. So a replica that dies is replaced within the slot, and one that was
//! replaced cannot publish. At most one slot runs at a time, also when an admin requests one. Back-off and budgets are
//! stored in the database as well.
//!
//! A slot in call order: [`Sync::run_due_slot`] claims it. [`market`] calls the providers in order until one answers, while
//! [`social`] reads the social sources, well within [`LEASE`]. [`Sync::publish_snapshot`] commits both when both are
//! complete. Otherwise it commits the market with the previous social figures, and [`Sync::add_social`] adds the new ones
//! later, so that prices do not wait for a slow source. The slot is held until then, so that no two replicas read the
//! sources at the same time.

mod market;
mod simulation;

use std::{pin::pin, sync::Arc, time::Duration};

use actix_web::web::Data;
use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::time;
use uuid::Uuid;

use self::market::{MarketResult, Unavailable};
use super::{
    after_publish::AfterPublish,
    identity::Identities,
    model::Market,
    providers::{id_namespaces, wants_real},
    store::{self, Claim},
};
use crate::{
    clock::{Clock, start_of_slot},
    config::{Coins, Mask, Secret, Social},
    db::{Db, DbError, SnapshotId},
    simulation::World,
    social::{self, Collector, Fingerprints, Queries},
    upstream::{Outcomes, Upstream, clear_stops},
};

const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Time that the market waits for social figures, so that most slots are one publication.
const MAX_WAIT_FOR_SOCIAL: Duration = Duration::from_secs(1);
/// Transactions per slot, so that late roll-ups are made up for in steps.
const MAX_ROLL_UPS_PER_SLOT: usize = 10;

pub struct Sync {
    db: Db,
    clock: Clock,
    settings: Data<Coins>,
    upstream: Upstream,
    identities: Arc<Identities>,
    social: Collector,
    after: Arc<dyn AfterPublish>,
    holder: Uuid,
    /// The state that was logged last, so that a lasting state is logged once.
    logged_state: Mutex<String>,
    /// Rates are not fetched before this time (back-off).
    rates_after: Mutex<DateTime<Utc>>,
    /// The simulated market, while its data is served.
    world: Mutex<Option<World>>,
}

impl Sync {
    /// # Errors
    /// `COINS_IDENTITIES` cannot be read, or is no table of coins.
    pub fn new(
        db: Db,
        clock: Clock,
        settings: Data<Coins>,
        social: Data<Social>,
        queries: Queries,
        fingerprints: Fingerprints,
        after: Arc<dyn AfterPublish>,
    ) -> anyhow::Result<Self> {
        let identities = match &settings.identities {
            Some(path) => Identities::read(path, &id_namespaces()).context("COINS_IDENTITIES")?,
            None => Identities::default(),
        };
        let keys = settings.provider_settings.values().filter_map(|own| own.key.as_ref());
        let social_keys = social.provider_settings.values().filter_map(|own| own.key.as_ref());
        let mask = Mask::new(keys.chain(social_keys).map(Secret::expose));
        let upstream = Upstream::new(settings.timeout, mask);
        let social = Collector::new(
            db.clone(),
            clock.clone(),
            social,
            upstream.clone(),
            queries,
            fingerprints,
            store::social_targets,
        );
        Ok(Self {
            db,
            clock,
            settings,
            upstream,
            identities: Arc::new(identities),
            social,
            after,
            holder: Uuid::now_v7(),
            logged_state: Mutex::default(),
            rates_after: Mutex::new(DateTime::UNIX_EPOCH),
            world: Mutex::default(),
        })
    }

    /// The outcomes of the calls of this process.
    pub fn outcomes(&self) -> &Outcomes {
        self.upstream.outcomes()
    }

    /// Runs until the task is aborted; does nothing if only demo data is configured.
    pub async fn run(&self) {
        if !wants_real(&self.settings) {
            return;
        }
        if let Err(error) = self.load_world().await {
            tracing::warn!(%error, "cannot read which market is simulated");
        }
        let cleared = self.db.query(|conn| {
            if clear_stops(conn)? {
                // Slots may have been postponed because of a stop.
                store::make_due(conn)?;
            }
            Ok(())
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "cannot clear the stops of providers");
        }
        tokio::join!(self.run_schedule(), self.social.follow_streams());
    }

    async fn run_schedule(&self) {
        let mut ticks =
            time::interval(check_interval(self.settings.simulated_interval.min(self.settings.sync_interval)));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.run_due_slot().await {
                tracing::warn!(%error, "the coin sync failed; it will be retried");
            }
        }
    }

    /// Releases a slot that was being run when [`Sync::run`] was aborted, so that another replica can claim it.
    pub async fn release(&self) {
        let (holder, now) = (self.holder, self.clock.now());
        if let Err(error) = self.db.query(move |conn| store::release(conn, holder, now)).await {
            tracing::debug!(%error, "cannot release the slot; its lease will expire");
        }
        self.social.release().await;
    }

    /// Claims a slot that is due and runs it, if there is one.
    async fn run_due_slot(&self) -> Result<(), DbError> {
        let (holder, now) = (self.holder, self.clock.now());
        let scheduled = start_of_slot(now, self.interval());
        let claim =
            self.db.query(move |conn| store::claim(conn, scheduled, holder, now, now + LEASE)).await?;
        match claim {
            Some(claim) => self.run_slot(claim).await,
            None => Ok(()),
        }
    }

    async fn run_slot(&self, claim: Claim) -> Result<(), DbError> {
        let before = self.load_world().await?;
        let (mut market, mut social) = (pin!(self.fetch_market(&claim)), pin!(self.social.collect(before)));
        let (market, figures) = tokio::select! {
            figures = &mut social => (market.await, Some(figures)),
            market = &mut market => (market, time::timeout(MAX_WAIT_FOR_SOCIAL, &mut social).await.ok()),
        };
        // Posts of a simulated market do not belong to real prices, nor the other way round.
        let fits = || self.world() == before;
        match (market, figures) {
            (Ok(MarketResult::Fetched(market)), Some(figures)) => {
                self.publish_snapshot(&claim, market, figures.filter(|_| fits()), false).await?;
            }
            (Ok(MarketResult::Fetched(market)), None) => {
                let (published, figures) =
                    tokio::join!(self.publish_snapshot(&claim, market, None, true), social);
                if let Some(snapshot_id) = published? {
                    self.add_social(&claim, snapshot_id, figures.filter(|_| fits())).await?;
                }
            }
            (other, figures) => {
                // The sources are read to the end, and the slot is held until then.
                if figures.is_none() {
                    social.await;
                }
                if let MarketResult::Unavailable(unavailable) = other? {
                    return self.postpone(&claim, unavailable).await;
                }
                Self::warn_superseded();
                return Ok(());
            }
        }
        if before.is_some() && self.world().is_none() {
            // What the collector has stored meanwhile.
            self.db.query_tx(store::clear_simulated_posts).await?;
        }
        self.keep_history(self.clock.now()).await
    }

    fn warn_superseded() {
        tracing::warn!("the coin sync took too long: another replica has taken over");
    }

    /// Renews the lease; false if another replica has taken over the slot.
    async fn renew_lease(&self, claim: &Claim) -> Result<bool, DbError> {
        let (claim, until) = (claim.clone(), self.clock.now() + LEASE);
        self.db.query(move |conn| store::renew(conn, &claim, until)).await
    }

    /// Publishes a snapshot. Returns its id, or None if another replica has taken over the slot.
    async fn publish_snapshot(
        &self,
        claim: &Claim,
        market: Market,
        social: Option<social::Collected>,
        more_follows: bool,
    ) -> Result<Option<SnapshotId>, DbError> {
        let (claim, now) = (claim.clone(), self.clock.now());
        let hold_until = more_follows.then(|| now + LEASE);
        let (provider, count) = (market.provider, market.report.entries.len());
        let (after, identities) = (self.after.clone(), self.identities.clone());
        let published = self
            .db
            .query_tx(move |conn| {
                let published = store::publish(conn, &claim, &market, &identities, now, hold_until)?;
                if let (Some(snapshot_id), Some(social)) = (published, social) {
                    store::add_social(conn, snapshot_id, &social)?;
                }
                if let Some(snapshot_id) = published {
                    after.published(conn, snapshot_id, now)?;
                }
                Ok(published)
            })
            .await?;
        if published.is_some() {
            self.log_change(format!("up {provider}"), || {
                tracing::info!(provider, count, "coins are up to date");
            });
        } else {
            Self::warn_superseded();
        }
        Ok(published)
    }

    /// Adds social figures to a published snapshot, and ends the slot.
    async fn add_social(
        &self,
        claim: &Claim,
        snapshot_id: SnapshotId,
        social: Option<social::Collected>,
    ) -> Result<(), DbError> {
        let (claim, now, after) = (claim.clone(), self.clock.now(), self.after.clone());
        let held = self
            .db
            .query_tx(move |conn| {
                let held = store::complete(conn, &claim, now)?;
                if held && let Some(social) = social {
                    store::add_social(conn, snapshot_id, &social)?;
                    // For alerts on social figures; those on prices were evaluated with the snapshot.
                    after.published(conn, snapshot_id, now)?;
                }
                Ok(held)
            })
            .await?;
        if !held {
            Self::warn_superseded();
        }
        Ok(())
    }

    /// Releases the slot, which a replica retries after `retry_at`.
    async fn postpone(&self, claim: &Claim, unavailable: Unavailable) -> Result<(), DbError> {
        let (claim, Unavailable { retry_at, reasons }) = (claim.clone(), unavailable);
        self.log_change("down".into(), || {
            tracing::warn!(
                reasons,
                %retry_at,
                "no market data provider available: the last data is served with its age"
            );
        });
        self.db.query(move |conn| store::postpone(conn, &claim, retry_at)).await?;
        Ok(())
    }

    async fn keep_history(&self, now: DateTime<Utc>) -> Result<(), DbError> {
        for _ in 0..MAX_ROLL_UPS_PER_SLOT {
            if !self.db.query_tx(move |conn| store::roll_up(conn, now)).await? {
                break;
            }
        }
        let over = self.clock.earliest();
        self.db.query_tx(move |conn| store::prune(conn, over)).await
    }

    /// Logs a change of state.
    fn log_change(&self, state: String, log: impl FnOnce()) {
        let mut logged = self.logged_state.lock();
        if *logged != state {
            log();
            *logged = state;
        }
    }
}

/// How often a replica looks for a slot that is due: several times per slot, so that it takes over the slot of a dead
/// replica in time.
fn check_interval(sync_interval: Duration) -> Duration {
    (sync_interval / 5).clamp(Duration::from_millis(200), Duration::from_secs(5))
}
