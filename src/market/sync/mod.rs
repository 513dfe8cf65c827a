//! The schedule: every interval one replica asks the providers and publishes what they say.
//!
//! There is no leader. Every replica tries to claim the current slot ([`slot`]); the claim is a row
//! with a lease that its holder renews, so a replica that dies is replaced within the slot, and a
//! fencing number, so one that only seemed dead cannot publish late. One slot at most runs at a
//! time, also when an admin asks for one. Back-off and budgets are kept in the database as well.
//!
//! A slot in call order: [`Sync::attend`] claims it, [`market`] asks the providers in order until
//! one answers, while [`social`] collects what people say about the coins, which is
//! done well within [`LEASE`]. [`Sync::publish`] commits both when both are there; else the market,
//! with what people said before, and [`Sync::add`] the rest: prices do not wait for a slow source.
//! The slot is held until then, so that no two replicas read the sources at a time.

mod market;
mod slot;

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;
use uuid::Uuid;

pub(super) use self::market::budget;
use self::market::{Collected, Nothing};
use super::{
    after_publish::AfterPublish,
    model::Market,
    store::{self, Claim},
};
use crate::{
    clock::{Clock, start_of_slot},
    config::{Coins, Mask, Provider, Secret, Social},
    db::{Db, SnapshotId},
    http::Problem,
    social::{self, Collector, Fingerprints, Queries},
    upstream::{Outcomes, Upstream, clear_stops},
};

const LEASE: TimeDelta = TimeDelta::seconds(60);
/// The market waits this long for what people say, so that most slots are one publication.
const TOGETHER: Duration = Duration::from_secs(1);
/// History that waits for its roll-up is caught up with in this many steps a slot.
const ROLL_UPS_A_SLOT: usize = 10;

pub struct Sync {
    db: Db,
    clock: Clock,
    settings: Data<Coins>,
    upstream: Upstream,
    social: Collector,
    after: Arc<dyn AfterPublish>,
    holder: Uuid,
    /// What the log was told last: a state that lasts is told once.
    told: Mutex<String>,
    outcomes: Arc<Outcomes>,
    /// No rates are read before, after a failure to.
    rates_after: Mutex<DateTime<Utc>>,
}

impl Sync {
    #[must_use]
    pub fn new(
        db: Db,
        clock: Clock,
        settings: Data<Coins>,
        social: Data<Social>,
        queries: Queries,
        fingerprints: Fingerprints,
        after: Arc<dyn AfterPublish>,
    ) -> Self {
        let keys = [&settings.coinmarketcap.key, &settings.coingecko.key, &social.x_token];
        let mask = Mask::new(keys.into_iter().flatten().map(Secret::expose));
        let upstream = Upstream::new(settings.timeout, mask);
        let outcomes = Arc::<Outcomes>::default();
        let social = Collector::new(
            db.clone(),
            clock.clone(),
            social,
            upstream.clone(),
            queries,
            fingerprints,
            outcomes.clone(),
        );
        Self {
            db,
            clock,
            settings,
            upstream,
            social,
            after,
            holder: Uuid::now_v7(),
            told: Mutex::default(),
            outcomes,
            rates_after: Mutex::new(DateTime::UNIX_EPOCH),
        }
    }

    /// How this process's calls went.
    #[must_use]
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// Runs until the task is aborted; does nothing when only the demonstration is wanted.
    pub async fn run(&self) {
        if self.settings.providers.iter().all(|provider| *provider == Provider::Demo) {
            return;
        }
        let cleared = self.db.run(|conn| {
            if clear_stops(conn)? {
                // They may have been put off because of a stop.
                store::make_due(conn)?;
            }
            Ok::<_, Problem>(())
        });
        if let Err(problem) = cleared.await {
            tracing::warn!(%problem, "cannot clear the providers' stops");
        }
        tokio::join!(self.attend_slots(), self.social.follow_streams());
    }

    async fn attend_slots(&self) {
        let mut ticks = time::interval(slot::tick(self.settings.sync_interval));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(problem) = self.attend().await {
                tracing::warn!(%problem, "the coin sync has to wait");
            }
        }
    }

    /// Gives back a slot that [`Sync::run`] was aborted in, so that another replica can have it.
    pub async fn release(&self) {
        let (holder, now) = (self.holder, self.clock.now());
        if let Err(problem) =
            self.db.run(move |conn| Ok::<_, Problem>(store::release(conn, holder, now)?)).await
        {
            tracing::debug!(%problem, "the slot is left to its lease");
        }
        self.social.release().await;
    }

    /// Claims a slot that is due and, if that works, runs it.
    async fn attend(&self) -> Result<(), Problem> {
        let (holder, now) = (self.holder, self.clock.now());
        let scheduled = start_of_slot(now, self.settings.sync_interval);
        let claim = self
            .db
            .run(move |conn| Ok::<_, Problem>(store::claim(conn, scheduled, holder, now, now + LEASE)?))
            .await?;
        match claim {
            Some(claim) => self.run_slot(claim).await,
            None => Ok(()),
        }
    }

    async fn run_slot(&self, claim: Claim) -> Result<(), Problem> {
        let (mut market, mut social) = (pin!(self.collect(&claim)), pin!(self.social.collect()));
        let (market, said) = tokio::select! {
            said = &mut social => (market.await, Some(said)),
            market = &mut market => (market, time::timeout(TOGETHER, &mut social).await.ok()),
        };
        match (market, said) {
            (Ok(Collected::Market(market)), Some(said)) => {
                self.publish(&claim, market, said, false).await?;
            }
            (Ok(Collected::Market(market)), None) => {
                let (published, said) = tokio::join!(self.publish(&claim, market, None, true), social);
                if let Some(snapshot_id) = published? {
                    self.add(&claim, snapshot_id, said).await?;
                }
            }
            (other, said) => {
                // What was read so far is kept, and the slot with it until then.
                if said.is_none() {
                    social.await;
                }
                if let Collected::Nothing(nothing) = other? {
                    return self.put_off(&claim, nothing).await;
                }
                Self::warn_superseded();
                return Ok(());
            }
        }
        self.keep_history(self.clock.now()).await
    }

    fn warn_superseded() {
        tracing::warn!("the sync took too long: another replica has taken over");
    }

    /// Renews the lease; false when the slot has gone to another replica.
    async fn hold(&self, claim: &Claim) -> Result<bool, Problem> {
        let (claim, until) = (claim.clone(), self.clock.now() + LEASE);
        self.db.run(move |conn| Ok(store::renew(conn, &claim, until)?)).await
    }

    /// The id of the snapshot, or none when the slot has gone to another replica.
    async fn publish(
        &self,
        claim: &Claim,
        market: Market,
        social: Option<social::Collected>,
        more_follows: bool,
    ) -> Result<Option<i64>, Problem> {
        let (claim, now) = (claim.clone(), self.clock.now());
        let hold_until = more_follows.then(|| now + LEASE);
        let (provider, count) = (market.provider, market.report.entries.len());
        let after = self.after.clone();
        let published = self
            .db
            .tx(move |conn| {
                let published = store::publish(conn, &claim, &market, now, hold_until)?;
                if let (Some(snapshot_id), Some(social)) = (published, social) {
                    social.publish(conn, SnapshotId(snapshot_id))?;
                }
                if let Some(snapshot_id) = published {
                    after.published(conn, snapshot_id, now)?;
                }
                Ok::<_, Problem>(published)
            })
            .await?;
        if published.is_some() {
            self.tell(format!("up {provider}"), || {
                tracing::info!(provider = provider.name(), count, "coins are up to date");
            });
        } else {
            Self::warn_superseded();
        }
        Ok(published)
    }

    /// Puts what people say beside a market that is published, and ends the slot.
    async fn add(
        &self,
        claim: &Claim,
        snapshot_id: i64,
        social: Option<social::Collected>,
    ) -> Result<(), Problem> {
        let (claim, now, after) = (claim.clone(), self.clock.now(), self.after.clone());
        let held = self
            .db
            .tx(move |conn| {
                let held = store::complete(conn, &claim, now)?;
                if held && let Some(social) = social {
                    social.publish(conn, SnapshotId(snapshot_id))?;
                    // For the alerts on what people say; those on prices have been looked at.
                    after.published(conn, snapshot_id, now)?;
                }
                Ok::<_, Problem>(held)
            })
            .await?;
        if !held {
            Self::warn_superseded();
        }
        Ok(())
    }

    /// The slot is not over: whoever looks after that time tries it again.
    async fn put_off(&self, claim: &Claim, nothing: Nothing) -> Result<(), Problem> {
        let (claim, Nothing { retry_at, reasons }) = (claim.clone(), nothing);
        self.tell("down".into(), || {
            tracing::warn!(reasons, "no provider has coins: what is there is served, with its age");
        });
        self.db.run(move |conn| Ok::<_, Problem>(store::postpone(conn, &claim, retry_at)?)).await?;
        Ok(())
    }

    async fn keep_history(&self, now: DateTime<Utc>) -> Result<(), Problem> {
        for _ in 0..ROLL_UPS_A_SLOT {
            if !self.db.tx(move |conn| Ok::<_, Problem>(store::roll_up(conn, now)?)).await? {
                break;
            }
        }
        let over = self.clock.earliest();
        self.db.tx(move |conn| Ok(store::prune(conn, over)?)).await
    }

    /// Logs what has changed.
    fn tell(&self, state: String, log: impl FnOnce()) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != state {
            log();
            *told = state;
        }
    }
}
