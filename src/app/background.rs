//! What runs beside the requests: the sync of coins, jobs, upkeep, metrics.

use std::{net::TcpListener, sync::Arc};

use actix_web::{dev::ServerHandle, rt};
use anyhow::{Context, Result};
use tokio::{sync::watch, task::JoinHandle};

use super::{Services, housekeeping, jobs, metrics};
use crate::{coins, config, jobs::Worker};

pub(super) struct Background {
    services: Services,
    sync: Arc<coins::Sync>,
    metrics: Option<ServerHandle>,
    worker: JoinHandle<()>,
    /// They may be cut off at any point.
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Jobs are begun until `stopping` changes.
    ///
    /// # Errors
    /// `SOCIAL_QUERIES` cannot be read, or the listener fails.
    pub fn start(
        services: Services,
        social: &config::Social,
        metrics: Option<TcpListener>,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<Self> {
        let (db, clock) = (services.db.get_ref().clone(), services.clock.get_ref().clone());
        let queries = social.queries.as_deref().map(coins::social::read_queries).transpose()?;
        let sync = Arc::new(coins::Sync::new(
            db.clone(),
            clock.clone(),
            services.coin_settings.clone(),
            services.social_settings.clone(),
            queries.unwrap_or_default(),
            services.fingerprints.clone(),
        ));
        let metrics =
            metrics.map(|listener| metrics::serve(listener, &services, sync.clone())).transpose()?;
        let metrics = metrics.map(|server| {
            let handle = server.handle();
            rt::spawn(server);
            handle
        });
        let registry = jobs::registry(&services.mailing);
        let worker = Worker::new(db.clone(), clock.clone(), registry, services.wake.clone());
        let worker = rt::spawn(worker.run(async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }));
        let (syncing, settings) = (sync.clone(), services.token_settings.clone());
        let tasks = vec![
            rt::spawn(async move { syncing.run().await }),
            rt::spawn(housekeeping::run(db.clone(), clock, settings, services.activity.clone())),
        ];
        Ok(Self { services, sync, metrics, worker, tasks })
    }

    /// After the last request: what runs is given back or finished.
    ///
    /// # Errors
    /// The worker of the jobs panicked.
    pub async fn end(self) -> Result<()> {
        for task in self.tasks {
            task.abort();
        }
        self.sync.release().await;
        if let Some(metrics) = self.metrics {
            metrics.stop(false).await;
        }
        let worked = self.worker.await;
        let Services { db, clock, activity, .. } = &self.services;
        if let Err(problem) = housekeeping::flush(db, clock, activity).await {
            tracing::warn!(%problem, "the last activity was not written");
        }
        worked.context("the worker of the jobs has failed")
    }
}
