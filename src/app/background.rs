//! Starts and stops the work beside requests: the sync of coins, jobs, housekeeping, metrics.

use std::{net::TcpListener, sync::Arc};

use actix_web::{dev::ServerHandle, rt};
use anyhow::{Context, Result};
use tokio::{sync::watch, task::JoinHandle};

use super::{Internals, Services, housekeeping, jobs, metrics};
use crate::{audit, coins::Alerts, config, jobs::Worker, market, social::read_queries, tasks::Tasks};

pub(super) struct Background {
    services: Services,
    sync: Arc<market::Sync>,
    metrics: Option<ServerHandle>,
    worker: JoinHandle<()>,
    /// Tasks that can be aborted at any point.
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts everything. New jobs are started until `stopping` changes.
    ///
    /// # Errors
    /// `SOCIAL_QUERIES` or `COINS_IDENTITIES` cannot be read, or the listener fails.
    pub fn start(
        services: Services,
        internals: Internals,
        social: &config::Social,
        metrics: Option<TcpListener>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self> {
        let Internals { connections, mails, wake, sealer, fingerprints } = internals;
        let (db, clock) = (services.db.get_ref().clone(), services.clock.get_ref().clone());
        let queries = social.queries.as_deref().map(read_queries).transpose()?;
        let sync = Arc::new(market::Sync::new(
            db.clone(),
            clock.clone(),
            services.coin_settings.clone(),
            services.social_settings.clone(),
            queries.unwrap_or_default(),
            fingerprints,
            Arc::new(Alerts),
        )?);
        let metrics = metrics
            .map(|listener| metrics::serve(listener, &services, connections, sync.clone()))
            .transpose()?;
        let metrics = metrics.map(|server| {
            let handle = server.handle();
            rt::spawn(server);
            handle
        });
        let tasks = services.tasks.get_ref().clone();
        let (jobs_db, jobs_clock, storage) = (db.clone(), clock.clone(), services.pictures.storage.clone());
        let retention = services.auth.accounts.failed_job_retention;
        let worker = spawn(&tasks, "jobs", move || {
            let mut stopping = stopping.clone();
            let registry = jobs::registry(&mails, &storage, retention);
            Worker::new(jobs_db.clone(), jobs_clock.clone(), registry, wake.clone()).run(async move {
                let _ = stopping.wait_for(|stopping| *stopping).await;
            })
        });
        let syncing = sync.clone();
        let sync_of_coins = spawn(&tasks, "coin-sync", move || {
            let syncing = syncing.clone();
            async move { syncing.run().await }
        });
        let audit_db = db.clone();
        let audit = spawn(&tasks, "audit", move || audit::seal_forever(audit_db.clone(), sealer.clone()));
        let auth = services.auth.clone();
        let housekeeping = spawn(&tasks, "housekeeping", move || housekeeping::run(auth.clone()));
        let limits = services.limits.clone();
        let limits = spawn(&tasks, "rate-limits", move || {
            let limits = limits.clone();
            async move { limits.requests.share_forever().await }
        });
        let (schema, schema_db) = (services.schema.clone(), services.db.get_ref().clone());
        let schema = spawn(&tasks, "schema", move || {
            let (schema, db) = (schema.clone(), schema_db.clone());
            async move { schema.watch(db).await }
        });
        let tasks = vec![sync_of_coins, audit, housekeeping, limits, schema];
        Ok(Self { services, sync, metrics, worker, tasks })
    }

    /// Ends everything, after the last request: running jobs are finished, leases are released.
    ///
    /// # Errors
    /// The job worker panicked.
    pub async fn end(self) -> Result<()> {
        for task in self.tasks {
            task.abort();
        }
        self.sync.release().await;
        if let Some(metrics) = self.metrics {
            metrics.stop(false).await;
        }
        let worked = self.worker.await;
        let Services { db, clock, activity, api_keys, .. } = &self.services;
        if let Err(error) = housekeeping::flush(db, clock, activity).await {
            tracing::warn!(%error, "cannot store the last activity of sessions");
        }
        if let Err(error) = housekeeping::flush_uses(db, api_keys).await {
            tracing::warn!(%error, "cannot store the last requests with API keys");
        }
        self.services.limits.requests.share_rest().await;
        worked.context("the job worker failed")
    }
}

/// Runs the future that `begin` makes, and restarts it after a panic.
fn spawn<F>(tasks: &Tasks, name: &str, begin: impl FnMut() -> F + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + 'static,
{
    let (tasks, name) = (tasks.clone(), name.to_owned());
    rt::spawn(async move { tasks.run(&name, begin).await })
}
