//! PostgreSQL through Diesel.
//!
//! Diesel blocks, so a request makes a hop to a blocking thread ([`Db::run`] or [`Db::tx`]), best only one.
//! Every wait is bounded, and a bound that is hit is a [`DbError`] that becomes a 503:
//!
//! - **Time.** All hops of a request share one budget of 2 s, of which 500 ms may be waiting for a slot and a
//!   connection (`budget`). PostgreSQL has its own bounds below that: 1.8 s for a statement, 400 ms for a lock
//!   (`connection`).
//! - **Slots.** As many hops run at a time as there are connections, and a quarter of that for one account
//!   (`slots`, [`charge_to`]): what waits for a locked row of one account leaves the others their slots. Waiting
//!   for the account's own turn holds nothing and may take the budget but for 500 ms.
//! - **An outage.** While PostgreSQL is away, requests fail at once instead of each finding that out by waiting
//!   (`reach`).
//! - **Silence.** A hop without an answer for 3 s is given up: its slot is free again, all connections that were
//!   open then are replaced, and its thread is left behind (`hops`, `watch`).
//!
//! SQL functions take `&mut PgConnection`, never the pool, so that they compose.

mod answers;
mod budget;
mod connection;
mod error;
mod follow;
mod hops;
mod ids;
mod locks;
mod manager;
pub mod migrate;
mod reach;
mod refusal;
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
    budget::{charge_to, within_budget},
    connection::{connect, connect_patiently},
    error::{DbError, constraint_violated},
    follow::{Change, Follow, Follower},
    ids::{CoinId, SessionId, SnapshotId, UserId},
    locks::naming_locks,
    reach::Away,
    server_time::{now, set_clock},
};
use crate::{config::Secret, tasks::Tasks};

/// How many threads may be left behind inside libpq, for each slot. PostgreSQL may still keep a backend for each.
const LEFT_BEHIND_PER_SLOT: u32 = 2;
/// How often a thread looks whether another has given a connection back.
const LOOK: Duration = Duration::from_millis(5);

/// What a failed piece of work says of its connection.
pub trait Outage {
    /// PostgreSQL could not serve, so the connection is not to be used again.
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

/// What became of the pool's connections, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    /// How often PostgreSQL went away.
    pub outages: u64,
    /// Hops that were never answered.
    pub given_up: u64,
    /// Those of them whose thread still waits.
    pub left_behind: usize,
}

impl Db {
    /// A pool that connects when it is first used, so that it can be built while PostgreSQL is away.
    #[must_use]
    pub fn new(url: &Secret, size: u32, tasks: &Tasks) -> Self {
        let slots = Slots::new(size as usize);
        let manager = Manager::new(url.expose());
        let pool = Pool::builder()
            // Each hop that holds a slot has a place, and each that was left behind.
            .max_size(size.saturating_mul(1 + LEFT_BEHIND_PER_SLOT).saturating_add(1))
            .min_idle(Some(0))
            .connection_timeout(Duration::from_millis(500))
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager.clone());
        let (reach, events) = Reach::new();
        let hops = Hops::new((size * LEFT_BEHIND_PER_SLOT) as usize);
        let inner = Arc::new(Inner { pool, manager, slots, hops, reach, probes: Probes::default() });
        watch::start(&inner, events, tasks);
        Self(inner)
    }

    /// Hops that are running, and how many may.
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        (self.0.slots.in_use(), self.0.slots.size())
    }

    /// How many blocking threads a runtime needs, so that those left behind do not keep hops from running.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.0.slots.size() + self.0.hops.most()
    }

    /// Why PostgreSQL is away, and since when; None while it can be reached.
    #[must_use]
    pub fn away(&self) -> Option<Arc<Away>> {
        self.0.reach.away()
    }

    /// Since the start.
    #[must_use]
    pub fn losses(&self) -> Losses {
        let Inner { reach, hops, .. } = &*self.0;
        Losses { outages: reach.outages(), given_up: hops.given_up(), left_behind: hops.left_behind() }
    }

    /// How long the database has been answering, as of its last answer; zero when that was more than
    /// 10 seconds ago.
    #[must_use]
    pub fn answering_for(&self) -> Duration {
        self.0.reach.answering_for()
    }

    /// How long ago the database last answered; the longest duration if it never did.
    #[must_use]
    pub fn answered_ago(&self) -> Duration {
        self.0.reach.answered_ago()
    }

    /// Runs `work` with a connection on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`; [`DbError::Busy`] when a bound was hit, in which case the statement may
    /// still complete; [`DbError::Unavailable`] while PostgreSQL is away.
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
    ///
    /// # Errors
    /// As [`Db::run`].
    ///
    /// # Panics
    /// As [`Db::run`].
    pub async fn tx<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<diesel::result::Error> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        self.run(move |conn| conn.transaction(work)).await
    }

    /// Runs queries with a connection on a blocking thread.
    ///
    /// # Errors
    /// As [`Db::run`].
    pub async fn query<T, F>(&self, queries: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    {
        self.run(move |conn| Ok(queries(conn)?)).await
    }

    /// As [`Db::query`], in a transaction that an error rolls back.
    ///
    /// # Errors
    /// As [`Db::run`].
    pub async fn query_tx<T, F>(&self, queries: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    {
        self.query(move |conn| conn.transaction(queries)).await
    }

    /// And how long it waited while others of its account did not keep it waiting.
    async fn slot(&self, budget: Budget) -> Result<(Hop, Duration), DbError> {
        self.0.refuse_while_away()?;
        // What is left then is longer than the wait for a lock, so that PostgreSQL still ends that first.
        let patience = budget.all.saturating_sub(budget.waits);
        let turn = time::timeout(patience, self.0.slots.turn(budget.account)).await;
        let turn = turn.map_err(|_| DbError::Busy("the account's other requests take too long"))?;
        let begun = Instant::now();
        let slot = time::timeout(budget.waits, self.0.slots.take(turn)).await;
        let slot = slot.map_err(|_| DbError::Busy("no free slot"))?;
        self.0.refuse_while_away()?;
        Ok((Hop { id: self.0.hops.begin(slot), inner: self.0.clone() }, begun.elapsed()))
    }
}

/// One that runs; ended when it is dropped.
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
    /// The thread owns the hop: who asked may be gone before PostgreSQL answers.
    async fn run<T, E, F>(self, connect_by: Instant, deadline: Instant, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        let thread = task::spawn_blocking(move || {
            let inner = &self.inner;
            let mut place = inner.open_place(self.id, connect_by)?;
            if Instant::now() >= deadline {
                // Who asked has been answered; the connection is there for the next.
                return Err(DbError::Busy("no connection in time").into());
            }
            let opened = inner.manager.open_in(&mut place);
            let (connection, answered) = opened.map_err(|refusal| DbError::Unavailable(refusal.text))?;
            inner.hops.opened(self.id, answered.clone());
            let result = work(connection);
            if result.as_ref().is_err_and(Outage::is_outage) {
                place.suspect = true;
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

    /// Whether there are connections that are open, or being opened, and answer.
    fn has_connections(&self) -> bool {
        self.pool.state().connections as usize > self.hops.left_behind()
    }

    /// A place whose connection is open; blocks. When none can be opened it waits until then for one that
    /// others give back.
    fn open_place(&self, hop: u64, until: Instant) -> Result<PooledConnection<Manager>, DbError> {
        if let Some(place) = self.idle() {
            return Ok(place);
        }
        let cause = match self.reach.away() {
            Some(away) => away.cause.clone(),
            None => match self.open(hop) {
                Ok(place) => return Ok(place),
                Err(cause) => {
                    self.reach.suspect();
                    cause
                }
            },
        };
        while self.has_connections() && Instant::now() < until {
            thread::sleep(LOOK);
            if let Some(place) = self.idle() {
                return Ok(place);
            }
        }
        Err(DbError::Unavailable(cause))
    }

    fn open(&self, hop: u64) -> Result<PooledConnection<Manager>, String> {
        self.hops.opens(hop);
        let mut place = self.pool.get().map_err(|error| error.to_string())?;
        self.manager.open_in(&mut place).map_err(|refusal| refusal.text)?;
        Ok(place)
    }

    /// Empty places are given back, so that there are never more connections than slots.
    fn idle(&self) -> Option<PooledConnection<Manager>> {
        std::iter::from_fn(|| self.pool.try_get()).find(|place| place.is_open())
    }
}
