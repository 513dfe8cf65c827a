//! Runs the schedule: every interval one replica calls the providers and publishes a snapshot.
//!
//! There is no leader. Every replica tries to claim the current slot ([`store::claim`]). A claim is a row with a lease,
//! which its holder renews, and a fencing number. So a replica that dies is replaced within the slot, and one that was
//! replaced cannot publish. At most one slot runs at a time, also when an admin requests one. Back-off and budgets are
//! stored in the database as well.
//!
//! A slot in call order: [`Sync::run_due_slot`] claims it and starts a reading of the social sources
//! ([`Sync::read_sources`]). [`market`] calls the providers in order until one answers. [`Sync::publish_snapshot`] commits
//! both when both are complete. Otherwise it commits the market with the previous social figures and ends the slot, and
//! [`Sync::add_social`] adds the new ones to the newest snapshot later, so that neither prices nor the next slot wait for a
//! slow source. A reading has a lease of its own, so that no two replicas read the sources at the same time.

mod backfill;
mod catalogue;
mod global;
mod market;
mod simulation;

use std::{sync::Arc, time::Duration};

use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time,
};
use uuid::Uuid;

use self::market::{MarketResult, Unavailable};
use super::{
    hooks::SyncHooks,
    identity::Identities,
    model::Market,
    providers::{id_namespaces, wants_real},
    store::{self, Claim},
};
use crate::{
    clock::{Clock, start_of_slot},
    config::{Coins, Mask, Secret, Social},
    db::{Db, DbError},
    simulation::World,
    social::{Collected, Collector, Fingerprints, Queries, Schedule},
    upstream::{Outcomes, Upstream, clear_stops},
};

const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Time that the market waits for social figures, so that most slots are one publication.
const MAX_WAIT_FOR_SOCIAL: Duration = Duration::from_secs(1);
/// Transactions per slot, so that late roll-ups are made up for in steps.
const MAX_ROLL_UPS_PER_SLOT: usize = 10;

/// A reading of the social sources that a slot has started.
struct Reading {
    /// The simulated market, if its posts are read.
    world: Option<World>,
    /// Where the figures are sent to; the slot that waits for them may have given up.
    reply: oneshot::Sender<Option<Collected>>,
}

pub struct Sync {
    db: Db,
    clock: Clock,
    settings: Data<Coins>,
    upstream: Upstream,
    identities: Arc<Identities>,
    social: Collector,
    hooks: Arc<dyn SyncHooks>,
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
        hooks: Arc<dyn SyncHooks>,
    ) -> anyhow::Result<Self> {
        let identities = Identities::configured(&settings, &id_namespaces())?;
        let keys = settings.provider_settings.values().filter_map(|own| own.key.as_ref());
        let social_keys = social.provider_settings.values().filter_map(|own| own.key.as_ref());
        let mask = Mask::new(keys.chain(social_keys).map(Secret::expose));
        let upstream = Upstream::new(settings.timeout, mask);
        let schedule = Schedule {
            read_targets: store::social_targets,
            interval: TimeDelta::from_std(settings.sync_interval).expect("at most a day"),
            simulated_interval: TimeDelta::from_std(settings.simulated_interval).expect("at most a day"),
        };
        let social = Collector::new(
            db.clone(),
            clock.clone(),
            &social,
            upstream.clone(),
            queries,
            fingerprints,
            schedule,
        );
        Ok(Self {
            db,
            clock,
            settings,
            upstream,
            identities: Arc::new(identities),
            social,
            hooks,
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
        // At most one reading waits for the one that is going on.
        let (readings, due) = mpsc::channel(1);
        tokio::join!(
            self.run_schedule(&readings),
            self.read_sources(due),
            self.social.follow_streams(),
            self.backfill(),
            self.renew_catalogue(),
            self.read_global()
        );
    }

    async fn run_schedule(&self, readings: &mpsc::Sender<Reading>) {
        let shortest = self.settings.simulated_interval.min(self.settings.sync_interval);
        let mut ticks = time::interval(check_interval(shortest));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.run_due_slot(readings).await {
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
    async fn run_due_slot(&self, readings: &mpsc::Sender<Reading>) -> Result<(), DbError> {
        let (holder, now) = (self.holder, self.clock.now());
        let scheduled = start_of_slot(now, self.interval());
        let claim =
            self.db.query(move |conn| store::claim(conn, scheduled, holder, now, now + LEASE)).await?;
        match claim {
            Some(claim) => self.run_slot(claim, readings).await,
            None => Ok(()),
        }
    }

    async fn run_slot(&self, claim: Claim, readings: &mpsc::Sender<Reading>) -> Result<(), DbError> {
        let before = self.load_world().await?;
        let figures = self.start_reading(readings);
        let result = self.fetch_market(&claim).await;
        let wait = match result {
            Ok(MarketResult::Fetched(_)) => MAX_WAIT_FOR_SOCIAL,
            // Figures that are complete are added to the newest snapshot.
            _ => Duration::ZERO,
        };
        let figures = match figures {
            Some(figures) => time::timeout(wait, figures).await.ok().and_then(Result::ok),
            None => None,
        };
        // Posts of a simulated market do not belong to real prices, nor the other way round.
        let fits = self.world() == before;
        match result {
            Ok(MarketResult::Fetched(market)) => {
                // Before the first snapshot there were no coins to read about.
                let nothing_read = matches!(figures, Some(None)) || !fits;
                let published =
                    self.publish_snapshot(&claim, market, figures.flatten().filter(|_| fits)).await?;
                if published && nothing_read {
                    self.start_reading(readings);
                }
            }
            other => {
                if let Some(figures) = figures.flatten() {
                    self.add_social(figures).await?;
                }
                if let MarketResult::Unavailable(unavailable) = other? {
                    return self.postpone(&claim, unavailable).await;
                }
                Self::warn_superseded();
                return Ok(());
            }
        }
        self.clear_late_posts().await?;
        self.keep_history(self.clock.now()).await
    }

    /// Starts a reading of the social sources, unless one waits already. Returns where its figures will arrive.
    fn start_reading(
        &self,
        readings: &mpsc::Sender<Reading>,
    ) -> Option<oneshot::Receiver<Option<Collected>>> {
        let ((reply, figures), world) = (oneshot::channel(), self.world());
        let has_sources = self.social.has_sources(world.is_some());
        (has_sources && readings.try_send(Reading { world, reply }).is_ok()).then_some(figures)
    }

    /// Reads the social sources whenever a slot starts it. Figures that the slot does not wait for any more are added to
    /// the newest snapshot.
    async fn read_sources(&self, mut due: mpsc::Receiver<Reading>) {
        while let Some(Reading { world, reply }) = due.recv().await {
            let mut figures = self.social.collect(world).await;
            match self.is_replaced(world).await {
                Ok(false) => {}
                Ok(true) => figures = None,
                Err(error) => tracing::warn!(%error, "cannot read which market is simulated"),
            }
            if let Err(Some(figures)) = reply.send(figures)
                && let Err(error) = self.add_social(figures).await
            {
                tracing::warn!(%error, "cannot add social figures; the previous ones are kept");
            }
        }
    }

    fn warn_superseded() {
        tracing::warn!("the coin sync took too long: another replica has taken over");
    }

    /// Renews the lease; false if another replica has taken over the slot.
    async fn renew_lease(&self, claim: &Claim) -> Result<bool, DbError> {
        let (claim, until) = (claim.clone(), self.clock.now() + LEASE);
        self.db.query(move |conn| store::renew(conn, &claim, until)).await
    }

    /// Publishes a snapshot; false if another replica has taken over the slot.
    async fn publish_snapshot(
        &self,
        claim: &Claim,
        market: Market,
        social: Option<Collected>,
    ) -> Result<bool, DbError> {
        let (claim, now) = (claim.clone(), self.clock.now());
        let (provider, count) = (market.provider, market.report.entries.len());
        let (hooks, identities) = (self.hooks.clone(), self.identities.clone());
        let published = self
            .db
            .query_tx(move |conn| {
                let Some(snapshot_id) = store::publish(conn, &claim, &market, &identities, now)? else {
                    return Ok(false);
                };
                if let Some(social) = social {
                    store::add_social(conn, snapshot_id, &social, now)?;
                }
                hooks.published(conn, snapshot_id, now)?;
                Ok(true)
            })
            .await?;
        if published {
            self.log_change(format!("up {provider}"), || {
                tracing::info!(provider, count, "coins are up to date");
            });
        } else {
            Self::warn_superseded();
        }
        Ok(published)
    }

    /// Adds social figures to the newest snapshot, unless another replica reads the sources by now.
    async fn add_social(&self, social: Collected) -> Result<(), DbError> {
        let (now, hooks) = (self.clock.now(), self.hooks.clone());
        let added = self.db.query_tx(move |conn| {
            let Some(snapshot_id) = store::newest_real(conn)? else { return Ok(true) };
            let added = store::add_social(conn, snapshot_id, &social, now)?;
            if added {
                // For alerts on social figures; those on prices were evaluated with the snapshot.
                hooks.published(conn, snapshot_id, now)?;
                store::announce(conn)?;
            }
            Ok(added)
        });
        if !added.await? {
            tracing::warn!("reading the social sources took too long: another replica has taken over");
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
