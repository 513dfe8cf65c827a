//! Work that outlives a request: a queue in PostgreSQL.
//!
//! A job is enqueued in the caller's transaction ([`enqueue`]), so it exists exactly if what it
//! announces does. A [`Worker`] claims it under a lease (`FOR UPDATE SKIP LOCKED`, committed at
//! once: neither lock nor connection is held while it runs) and deletes it when it is done. A run
//! that fails, panics or takes too long is repeated after a growing wait; after a limit the job
//! is dead until an admin retries it. The lease is short and renewed by whoever runs the job; a
//! run that vanishes with its process is repeated when the lease is over. So a job runs **at
//! least once** and must be idempotent.
//!
//! Why not a crate: `apalis-diesel-postgres` also enqueues in the caller's transaction, but wants
//! a pool of its own with connections pinned for heartbeats and listening, a schema and ten
//! migrations beside ours, and the system's time instead of [`Clock`](crate::clock::Clock).
//! `fang` never looks again at a task whose process died. crates.io's `crates_io_worker`, the
//! model in shape, keeps the row locked while a job runs. What is needed of them is two tables
//! and these files.

mod failure;
mod list;
mod model;
mod prune;
mod registry;
mod retry;
mod schedule;
mod store;
mod worker;

use std::future::Future;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub use self::{
    failure::Failure,
    model::JobState,
    prune::PruneJobs,
    registry::Registry,
    store::{count, enqueue},
    worker::{LEASE, Wake, Worker},
};

/// One kind of work.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Stable, kebab-case; stored with each job.
    const KIND: &'static str;
    /// What a run needs beside its payload; given at registration.
    type Context: Clone + Send + Sync + 'static;

    /// One attempt, within 3 minutes. It may happen more than once, also after it succeeded.
    ///
    /// # Errors
    /// See [`Failure`]; its text is shown to admins, so it must hold no secret.
    fn run(
        self,
        running: Running,
        context: &Self::Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The attempt under way.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The job's id, the same in every attempt.
    pub id: Uuid,
    /// Counted from 1.
    pub attempt: i32,
    /// As `attempt`, but a retry by an admin begins again at 1.
    pub attempt_in_turn: i32,
    /// When the attempt began.
    pub now: DateTime<Utc>,
}

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_jobs).service(retry::retry_job);
}
