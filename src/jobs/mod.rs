//! A job queue in PostgreSQL, for work that outlives a request.
//!
//! A job is enqueued in the caller's transaction ([`enqueue`]), so it exists only if that commits. A [`Worker`] claims
//! it under a lease (`FOR UPDATE SKIP LOCKED`, committed at once: no lock and no connection is held while it runs) and
//! deletes it when it is completed. A run that fails, panics or takes too long is repeated after a growing wait; after
//! too many attempts the job is dead until an admin retries it. The lease is short and renewed during the run, so a run
//! that ends with its process is repeated soon. So a job runs **at least once** and must be idempotent.
//!
//! Why not a crate: `apalis-diesel-postgres` also enqueues in the caller's transaction, but needs a pool of its own with
//! connections pinned for heartbeats and listening, a schema and ten migrations of its own, and the system's time
//! instead of [`Clock`](crate::clock::Clock). `fang` does not repeat a task whose process died. crates.io's
//! `crates_io_worker`, the model for this, keeps the row locked while a job runs. All that is needed is two tables and
//! these files.

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
    store::{count, enqueue, forget_dead},
    worker::{LEASE, Wake, Worker},
};

/// A kind of job; its fields are the payload.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Stored with each job, in kebab-case. It must never change.
    const KIND: &'static str;
    /// The services that a run needs, given at registration.
    type Context: Clone + Send + Sync + 'static;

    /// Makes one attempt, within 3 minutes. It may be repeated, even after it succeeded.
    ///
    /// # Errors
    /// See [`Failure`]. Its text is shown to admins, so it must not contain secrets.
    fn run(
        self,
        running: Running,
        context: &Self::Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The current attempt of a job.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The id of the job, the same in every attempt.
    pub id: Uuid,
    /// Counted from 1.
    pub attempt: i32,
    /// As `attempt`, but restarted at 1 when an admin retries the job.
    pub attempt_in_turn: i32,
    /// When the attempt began.
    pub now: DateTime<Utc>,
}

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_jobs).service(retry::retry_job);
}
