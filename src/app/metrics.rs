//! Prometheus metrics on a port of their own (`METRICS_BIND`), so that access to them can be restricted.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse,
    dev::Server,
    middleware::from_fn,
    web::{self, Data},
};
use anyhow::Result;
use futures_util::future::OptionFuture;
use tokio::time;

use super::{Services, connections::Connections, health, listen::Serving};
use crate::{
    db::DbError,
    http::{TrustedProxies, envelope},
    jobs::{self, JobState},
    market::{self, SyncStatus},
    telemetry::{CONTENT_TYPE, Exposition, dropped_log_lines},
};

/// Their descriptors are part of the reserve in `connections.rs`.
const MAX_CONNECTIONS: usize = 64;
/// A scrape leaves out the metrics from the database if they take longer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes a server for `GET /metrics`, which runs when it is awaited.
pub(super) fn serve(
    listener: TcpListener,
    services: &Services,
    of_api: Arc<Connections>,
    sync: Arc<market::Sync>,
) -> Result<Server> {
    let services = Data::new(services.clone());
    let (of_api, sync) = (Data::from(of_api), Data::from(sync));
    let serving = Serving {
        workers: 1,
        blocking_threads: services.db.threads(),
        tls: None,
        connections: Arc::new(Connections::new("metrics", MAX_CONNECTIONS, None, TrustedProxies::default())),
        shutdown: services.envelope.shutdown.clone(),
    };
    let (server, _) = serving.start(listener, move || {
        App::new()
            .app_data(services.envelope.clone())
            .app_data(services.clone())
            .app_data(of_api.clone())
            .app_data(sync.clone())
            .route("/metrics", web::get().to(metrics))
            .wrap(from_fn(envelope))
    })?;
    Ok(server)
}

async fn metrics(
    services: Data<Services>,
    connections: Data<Connections>,
    sync: Data<market::Sync>,
) -> HttpResponse {
    let mut text = Exposition::default();
    if let Some(requests) = &services.requests {
        requests.write(&mut text);
    }
    connections.write(&mut text);
    services.tasks.write(&mut text);
    let name = "mintage_log_lines_dropped_total";
    text.single(
        name,
        "counter",
        "Log lines that were dropped, since stderr was not read in time.",
        dropped_log_lines(),
    );
    let (in_use, size) = services.db.in_use();
    text.single("mintage_database_slots_in_use", "gauge", "Database calls that are running.", in_use);
    text.single("mintage_database_slots", "gauge", "Maximum of database calls at a time.", size);
    let losses = services.db.losses();
    let name = "mintage_database_outages_total";
    text.single(name, "counter", "How often PostgreSQL became unavailable.", losses.outages);
    let name = "mintage_database_connections_given_up_total";
    text.single(
        name,
        "counter",
        "Database connections that were abandoned, since they did not answer.",
        losses.abandoned,
    );
    let name = "mintage_database_threads_left_behind";
    text.single(name, "gauge", "Threads that still wait for an abandoned connection.", losses.stuck);
    let (waiting, places) = services.auth.hasher.in_use();
    text.single("mintage_hash_queue", "gauge", "Password hashes that run or wait.", waiting);
    text.single("mintage_hash_queue_places", "gauge", "Maximum of password hashes that run or wait.", places);
    let (remembered, checked) = services.jwt.access_tokens();
    let name = "mintage_access_tokens_total";
    text.family(name, "counter", "Accepted access tokens, by whether the signature was cached or checked.");
    text.sample(name, &[("signature", "remembered")], remembered);
    text.sample(name, &[("signature", "checked")], checked);
    services.limits.wrong_guesses.write(&mut text);
    services.limits.requests.write(&mut text);
    if let Some(breaches) = &services.auth.breaches {
        breaches.write(&mut text);
    }
    sync.outcomes().write(&mut text);
    let is_up = health::is_up(&services.blocklist, &services.db);
    text.single("mintage_database_up", "gauge", "1 if the database answers, else 0.", u8::from(is_up));
    let age = services.blocklist.confirmed_ago().as_secs_f64();
    let name = "mintage_blocklist_age_seconds";
    text.single(name, "gauge", "Time since the database last confirmed the list of ended sessions.", age);
    // Metrics from the database are left out while it is unavailable.
    let known = is_up.then(|| time::timeout(QUERY_TIMEOUT, read_stored(&services)));
    if let Some(Ok(Ok((status, jobs)))) = OptionFuture::from(known).await {
        status.write(&mut text);
        let name = "mintage_jobs";
        text.family(name, "gauge", "Jobs by state; completed ones are deleted.");
        for state in [JobState::Waiting, JobState::Running, JobState::Dead] {
            let count = jobs.iter().find(|(one, _)| *one == state).map_or(0, |(_, count)| *count);
            text.sample(name, &[("state", state.as_str())], count);
        }
    }
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(text.0)
}

async fn read_stored(services: &Services) -> Result<(SyncStatus, Vec<(JobState, i64)>), DbError> {
    let (coins, social) = (services.coin_settings.clone(), services.social_settings.clone());
    let now = services.clock.now();
    let read = move |conn: &mut _| Ok((SyncStatus::read(conn, &coins, &social, now)?, jobs::count(conn)?));
    services.db.query(read).await
}
