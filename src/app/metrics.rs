//! Prometheus metrics on a port of their own (`METRICS_BIND`), so that access to them can be restricted. Clients that
//! prefer OpenMetrics get it, others the older text format.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse,
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
    home::{COMMIT, VERSION},
    http::{TrustedProxies, accept::prefers, envelope},
    jobs::{self, JobState},
    market::{self, SyncStatus},
    telemetry::{CLASSIC, Exposition, MetricType, OPEN_METRICS, dropped_log_lines, write_process},
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
    req: HttpRequest,
    services: Data<Services>,
    connections: Data<Connections>,
    sync: Data<market::Sync>,
) -> HttpResponse {
    let mut metrics = Exposition::default();
    let commit = COMMIT.unwrap_or("unknown");
    let family =
        metrics.family("mintage_build_info", MetricType::Gauge, "Version and commit of the program.");
    family.sample(&[("version", VERSION), ("commit", commit)], 1u8);
    write_process(&mut metrics);
    if let Some(requests) = &services.requests {
        requests.write(&mut metrics);
    }
    connections.write(&mut metrics);
    services.tasks.write(&mut metrics);
    let help = "Log lines that were dropped, since stderr was not read in time.";
    metrics.counter("mintage_log_lines_dropped_total", help, dropped_log_lines());
    write_database(&mut metrics, &services);
    write_tokens_and_passwords(&mut metrics, &services);
    sync.outcomes().write(&mut metrics);
    write_stored(&mut metrics, &services).await;
    if prefers(&req, "application/openmetrics-text", "text/plain") {
        return HttpResponse::Ok().content_type(OPEN_METRICS).body(metrics.open_metrics());
    }
    HttpResponse::Ok().content_type(CLASSIC).body(metrics.classic())
}

fn write_database(metrics: &mut Exposition, services: &Services) {
    let (in_use, size) = services.db.in_use();
    metrics.gauge("mintage_database_slots_in_use", "Database calls that are running.", in_use);
    metrics.gauge("mintage_database_slots", "Maximum of database calls at a time.", size);
    let losses = services.db.losses();
    let name = "mintage_database_outages_total";
    metrics.counter(name, "How often PostgreSQL became unavailable.", losses.outages);
    let help = "Database connections that were abandoned, since they did not answer.";
    metrics.counter("mintage_database_connections_given_up_total", help, losses.abandoned);
    let name = "mintage_database_threads_left_behind";
    metrics.gauge(name, "Threads that still wait for an abandoned connection.", losses.stuck);
    let is_up = health::is_up(&services.blocklist, &services.db);
    metrics.gauge("mintage_database_up", "1 if the database answers, else 0.", u8::from(is_up));
    let help = "Time since the database last confirmed the list of ended sessions.";
    let age = services.blocklist.confirmed_ago().as_secs_f64();
    metrics.gauge("mintage_blocklist_age_seconds", help, age);
}

fn write_tokens_and_passwords(metrics: &mut Exposition, services: &Services) {
    let (waiting, places) = services.auth.hasher.in_use();
    metrics.gauge("mintage_hash_queue", "Password hashes that run or wait.", waiting);
    metrics.gauge("mintage_hash_queue_places", "Maximum of password hashes that run or wait.", places);
    let (remembered, checked) = services.jwt.access_tokens();
    let help = "Accepted access tokens, by whether the signature was cached or checked.";
    let tokens = metrics.family("mintage_access_tokens_total", MetricType::Counter, help);
    tokens.sample(&[("signature", "remembered")], remembered);
    tokens.sample(&[("signature", "checked")], checked);
    services.limits.wrong_guesses.write(metrics);
    services.limits.requests.write(metrics);
    if let Some(breaches) = &services.auth.breaches {
        breaches.write(metrics);
    }
}

/// Adds the metrics that are read from the database, except while it is unavailable.
async fn write_stored(metrics: &mut Exposition, services: &Services) {
    let is_up = health::is_up(&services.blocklist, &services.db);
    let known = is_up.then(|| time::timeout(QUERY_TIMEOUT, read_stored(services)));
    let Some(Ok(Ok((status, jobs)))) = OptionFuture::from(known).await else {
        return;
    };
    status.write(metrics);
    let help = "Jobs by state; completed ones are deleted.";
    let family = metrics.family("mintage_jobs", MetricType::Gauge, help);
    for state in [JobState::Waiting, JobState::Running, JobState::Dead] {
        let count = jobs.iter().find(|(one, _)| *one == state).map_or(0, |(_, count)| *count);
        family.sample(&[("state", state.as_str())], count);
    }
}

async fn read_stored(services: &Services) -> Result<(SyncStatus, Vec<(JobState, i64)>), DbError> {
    let (coins, social) = (services.coin_settings.clone(), services.social_settings.clone());
    let now = services.clock.now();
    let read = move |conn: &mut _| Ok((SyncStatus::read(conn, &coins, &social, now)?, jobs::count(conn)?));
    services.db.query(read).await
}
