//! PostgreSQL through Diesel.
//!
//! Diesel blocks, so a request runs its queries on a blocking thread: a *hop* ([`Db::query`], [`Db::query_tx`],
//! [`Db::run`], [`Db::tx`]), preferably only one. Every wait has a limit, and exceeding it is a [`DbError`] that becomes
//! a 503:
//!
//! - **Time.** All hops of a request share a budget of 2 s, of which at most 500 ms for waiting for a slot and a
//!   connection (`budget`). PostgreSQL has shorter limits: 1.8 s for a statement, 400 ms for a lock (`connection`).
//! - **Slots.** As many hops run at a time as there are connections, and a quarter of that for one account
//!   (`slots`, [`charge_to`]), so that waits for a locked row of one account do not take all slots. Waiting for a
//!   turn among the hops of the account takes no slot and may use the budget except for 500 ms.
//! - **Outages.** While PostgreSQL is unavailable, requests fail at once instead of after a wait (`reach`).
//! - **Silence.** A hop without an answer for 3 s is abandoned: its slot is free again, all connections that were
//!   open then are replaced, and its thread is left inside libpq (`hops`, `watch`).
//!
//! SQL functions take `&mut PgConnection`, never the pool, so that one transaction can call several.

mod answers;
mod budget;
mod connection;
mod error;
mod follow;
mod hops;
mod ids;
mod live_schema;
mod locks;
mod manager;
pub mod migrate;
mod reach;
mod refusal;
pub mod rights;
pub mod rollback;
pub mod schema;
mod server_time;
mod slots;
mod text_enum;
mod watch;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection, PgConnection, QueryResult};
use r2d2::{Pool, PooledConnection};
use tokio::{task, time};

pub(crate) use self::text_enum::text_enum;
use self::{budget::Budget, hops::Hops, manager::Manager, reach::Reach, slots::Slots, watch::Probes};
pub use self::{
    budget::{charge_to, within_budget, within_time},
    connection::{connect, connect_patiently},
    error::{DbError, constraint_violated},
    follow::{Change, Follow, Follower},
    ids::{ApiKeyId, CoinId, SessionId, SnapshotId, UserId, id_at, least_id_at},
    live_schema::LiveSchema,
    locks::naming_locks,
    reach::Away,
    server_time::{now, set_clock},
};
use crate::{config::Secret, tasks::Tasks};

/// Threads for each slot that may be stuck inside libpq. PostgreSQL may still have a backend for each.
const MAX_STUCK_PER_SLOT: u32 = 2;
/// How often a thread that waits for a connection checks for one.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// An error that may make the connection unusable.
pub trait Outage {
    /// PostgreSQL was unavailable, so the connection must not be used again.
    fn is_outage(&self) -> bool;
}

/// A handle to the pool; cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    pool: Pool<Manager>,
    manager: Manager,
    slots: Slots,
    hops: Hops,
    reach: Reach,
    probes: Probes,
}

/// Counts of lost connections, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    /// How often PostgreSQL became unavailable.
    pub outages: u64,
    /// Hops that were abandoned, since PostgreSQL did not answer.
    pub abandoned: u64,
    /// Threads that still wait for an answer to one of those.
    pub stuck: usize,
}

impl Db {
    /// Makes a pool that connects when it is first used, so that it can be made while PostgreSQL is unavailable.
    pub fn new(url: &Secret, size: u32, tasks: &Tasks) -> Self {
        let slots = Slots::new(size as usize);
        let manager = Manager::new(url.expose());
        let pool = Pool::builder()
            // Each hop with a slot has an entry in the pool, and each stuck one.
            .max_size(size.saturating_mul(1 + MAX_STUCK_PER_SLOT).saturating_add(1))
            .min_idle(Some(0))
            .connection_timeout(Duration::from_millis(500))
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager.clone());
        let (reach, events) = Reach::new();
        let hops = Hops::new((size * MAX_STUCK_PER_SLOT) as usize);
        let inner = Arc::new(Inner { pool, manager, slots, hops, reach, probes: Probes::default() });
        watch::start(&inner, events, tasks);
        Self(inner)
    }

    /// The number of hops that run, and the maximum.
    pub fn in_use(&self) -> (usize, usize) {
        (self.0.slots.in_use(), self.0.slots.size())
    }

    /// The number of blocking threads that a runtime needs, so that stuck ones do not keep hops from running.
    pub fn threads(&self) -> usize {
        self.0.slots.size() + self.0.hops.max_stuck()
    }

    /// Why PostgreSQL is unavailable, and since when; None while it is available.
    pub fn away(&self) -> Option<Arc<Away>> {
        self.0.reach.away()
    }

    /// Counts since the start of the process.
    pub fn losses(&self) -> Losses {
        let Inner { reach, hops, .. } = &*self.0;
        Losses { outages: reach.outages(), abandoned: hops.abandoned(), stuck: hops.stuck() }
    }

    /// How long the database has been answering, until its last answer; zero if that was more than 10 seconds ago.
    pub fn answering_for(&self) -> Duration {
        self.0.reach.answering_for()
    }

    /// How long ago the database last answered; `Duration::MAX` if it never did.
    pub fn answered_ago(&self) -> Duration {
        self.0.reach.answered_ago()
    }

    /// Runs `work` with a connection on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`; [`DbError::Busy`] if a limit was exceeded, in which case the statement may
    /// still complete; [`DbError::Unavailable`] while PostgreSQL is unavailable.
    ///
    /// # Panics
    /// If `work` does.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        let (begun, budget) = (Instant::now(), Budget::left());
        let (result, waited) = match self.slot(budget).await {
            Ok((hop, waited)) => {
                let connect_by = Instant::now() + budget.waits.saturating_sub(waited);
                (hop.run(connect_by, begun + budget.all, work).await, waited)
            }
            Err(error) => (Err(error.into()), begun.elapsed()),
        };
        Budget::spend(begun.elapsed(), waited);
        result
    }

    /// As [`Db::run`], in a transaction that an error rolls back.
    pub async fn tx<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<diesel::result::Error> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        self.run(move |conn| conn.transaction(work)).await
    }

    /// As [`Db::run`], for queries alone.
    pub async fn query<T, F>(&self, queries: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    {
        self.run(move |conn| Ok(queries(conn)?)).await
    }

    /// As [`Db::query`], in a transaction that an error rolls back.
    pub async fn query_tx<T, F>(&self, queries: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    {
        self.query(move |conn| conn.transaction(queries)).await
    }

    /// Takes a slot, and measures the wait for it without the wait for the account's turn.
    async fn slot(&self, budget: Budget) -> Result<(Hop, Duration), DbError> {
        self.0.refuse_while_away()?;
        // The rest of the budget is longer than a wait for a lock, so that PostgreSQL ends that one first.
        let patience = budget.all.saturating_sub(budget.waits);
        let turn = time::timeout(patience, self.0.slots.turn(budget.account)).await;
        let turn = turn.map_err(|_| DbError::Busy("other requests of the account take too long"))?;
        let begun = Instant::now();
        let slot = time::timeout(budget.waits, self.0.slots.take(turn)).await;
        let slot = slot.map_err(|_| DbError::Busy("no free slot"))?;
        self.0.refuse_while_away()?;
        Ok((Hop { id: self.0.hops.begin(slot), inner: self.0.clone() }, begun.elapsed()))
    }
}

/// A running hop; ended when it is dropped.
struct Hop {
    id: u64,
    inner: Arc<Inner>,
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.inner.hops.end(self.id);
    }
}

impl Hop {
    /// Runs `work` on a thread that owns the hop, since the request may be gone before PostgreSQL answers.
    async fn run<T, E, F>(self, connect_by: Instant, deadline: Instant, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        let thread = task::spawn_blocking(move || {
            let inner = &self.inner;
            let mut entry = inner.open_entry(self.id, connect_by)?;
            if Instant::now() >= deadline {
                // The request has been answered with an error; the next hop can use the connection.
                return Err(DbError::Busy("no connection in time").into());
            }
            let opened = inner.manager.open_in(&mut entry);
            let (connection, answered) = opened.map_err(|refusal| DbError::Unavailable(refusal.text))?;
            inner.hops.opened(self.id, answered.clone());
            let result = work(connection);
            if result.as_ref().is_err_and(Outage::is_outage) {
                entry.suspect = true;
                inner.reach.suspect();
            } else {
                inner.reach.answered();
            }
            result
        });
        match time::timeout_at(deadline.into(), thread).await {
            Ok(Ok(result)) => result,
            Ok(Err(failed)) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(DbError::Busy("the server is shutting down").into()),
            },
            Err(_) => Err(DbError::Busy("no answer in time").into()),
        }
    }
}

impl Inner {
    fn refuse_while_away(&self) -> Result<(), DbError> {
        match self.reach.away() {
            Some(away) if away.is_silent || !self.has_connections() => {
                Err(DbError::Unavailable(away.cause.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether there are connections, open or being opened, that are not stuck.
    fn has_connections(&self) -> bool {
        self.pool.state().connections as usize > self.hops.stuck()
    }

    /// Returns an entry with an open connection; blocks. If none can be opened, waits for one that another hop
    /// returns.
    fn open_entry(&self, hop: u64, until: Instant) -> Result<PooledConnection<Manager>, DbError> {
        if let Some(entry) = self.idle() {
            return Ok(entry);
        }
        let cause = match self.reach.away() {
            Some(away) => away.cause.clone(),
            None => match self.open(hop) {
                Ok(entry) => return Ok(entry),
                Err(cause) => {
                    self.reach.suspect();
                    cause
                }
            },
        };
        while self.has_connections() && Instant::now() < until {
            thread::sleep(CHECK_INTERVAL);
            if let Some(entry) = self.idle() {
                return Ok(entry);
            }
        }
        Err(DbError::Unavailable(cause))
    }

    fn open(&self, hop: u64) -> Result<PooledConnection<Manager>, String> {
        self.hops.opens(hop);
        let mut entry = self.pool.get().map_err(|error| error.to_string())?;
        self.manager.open_in(&mut entry).map_err(|refusal| refusal.text)?;
        Ok(entry)
    }

    /// Takes an entry with an open connection, if there is one. Empty ones are dropped, so that there are never more
    /// connections than slots.
    fn idle(&self) -> Option<PooledConnection<Manager>> {
        std::iter::from_fn(|| self.pool.try_get()).find(|entry| entry.is_open())
    }
}
