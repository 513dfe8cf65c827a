//! PostgreSQL through Diesel.
//!
//! Diesel blocks, so a request makes **one** hop to a blocking thread ([`Db::run`] or
//! [`Db::tx`]). Waiting is bounded at every step: for a slot asynchronously, for a connection
//! by the pool, for the answer by a deadline. Whoever waits too long gets [`DbError::Busy`],
//! a 503. SQL functions take `&mut PgConnection`, never the pool, so that they compose.

mod answers;
mod connection;
pub mod embedded;
mod error;
mod follow;
mod manager;
pub mod migrate;
pub mod schema;
mod text_enum;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{Connection, PgConnection};
use r2d2::Pool;
use tokio::{sync::Semaphore, task, time};

pub(crate) use self::text_enum::text_enum;
use self::{answers::Answers, manager::Manager};
pub use self::{
    connection::{connect, connect_patiently},
    error::{DbError, constraint_violated},
    follow::{Follow, Follower},
};
use crate::config::Secret;

/// How long a request waits for its turn; nothing but memory is held meanwhile.
const WAIT_FOR_SLOT: Duration = Duration::from_secs(2);
/// How long a thread waits for a connection to be opened.
const WAIT_FOR_CONNECTION: Duration = Duration::from_millis(500);
/// How long a request waits for the database's answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a failed piece of work says of its connection.
pub trait Outage {
    /// PostgreSQL could not serve, so the connection is not to be used again.
    fn is_outage(&self) -> bool;
}

/// A handle to the pool; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Manager>,
    /// As many as connections: a thread never blocks waiting for one.
    slots: Arc<Semaphore>,
    answers: Arc<Answers>,
}

impl Db {
    /// A pool that connects when it is first used, so that it can be built while PostgreSQL is away.
    #[must_use]
    pub fn new(url: &Secret, size: u32) -> Self {
        let manager = Manager { url: connection::bounded_url(url.expose()) };
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(WAIT_FOR_CONNECTION)
            .error_handler(Box::<connection::LogErrors>::default())
            .build_unchecked(manager);
        Self { pool, slots: Arc::new(Semaphore::new(size as usize)), answers: Arc::default() }
    }

    /// Hops that are running, and how many may.
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        let size = self.pool.max_size() as usize;
        (size - self.slots.available_permits().min(size), size)
    }

    /// How long the database has been answering, as of its last answer; zero when that was more than
    /// 10 seconds ago.
    #[must_use]
    pub fn answering_for(&self) -> Duration {
        self.answers.lasting(Instant::now())
    }

    /// Runs `work` with a connection on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`; [`DbError::Busy`] when a bound was hit, in which case the statement may
    /// still complete.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        let slot = time::timeout(WAIT_FOR_SLOT, self.slots.clone().acquire_owned())
            .await
            .map_err(|_| DbError::Busy("no free slot"))?
            .expect("the semaphore is never closed");
        let (pool, answers) = (self.pool.clone(), self.answers.clone());
        let hop = task::spawn_blocking(move || {
            let result = match pool.get() {
                Ok(mut managed) => {
                    let result = work(&mut managed);
                    managed.suspect = result.as_ref().is_err_and(Outage::is_outage);
                    if !managed.suspect {
                        answers.note(Instant::now());
                    }
                    result
                }
                Err(error) => Err(DbError::Unavailable(error.to_string()).into()),
            };
            // Held by the thread, not the request: a stalled PostgreSQL keeps its slots.
            drop(slot);
            result
        });
        match time::timeout(DEADLINE, hop).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => Err(DbError::Busy("no answer in time").into()),
        }
    }

    /// As [`Db::run`], in a transaction that an error rolls back.
    ///
    /// # Errors
    /// As [`Db::run`].
    pub async fn tx<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<diesel::result::Error> + Outage + Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    {
        self.run(move |conn| conn.transaction(work)).await
    }
}
