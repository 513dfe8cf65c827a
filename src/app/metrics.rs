//! Prometheus metrics on a port of their own (`METRICS_BIND`): whoever may see them is not who may
//! use the API.

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
    coins::{self, SyncStatus},
    http::{Problem, TrustedProxies, envelope},
    jobs::{self, JobState},
    telemetry::{CONTENT_TYPE, Exposition, dropped_log_lines},
};

/// Connections that may be open; their descriptors are part of the reserve of the API's.
const CONNECTIONS: usize = 64;
/// A scrape does not wait longer for the database.
const LONGEST_QUERY: Duration = Duration::from_secs(1);

/// Answers `GET /metrics`; runs when it is awaited, until it is stopped.
pub(super) fn serve(
    listener: TcpListener,
    services: &Services,
    of_api: Arc<Connections>,
    sync: Arc<coins::Sync>,
) -> Result<Server> {
    let services = Data::new(services.clone());
    let (of_api, sync) = (Data::from(of_api), Data::from(sync));
    let serving = Serving {
        workers: 1,
        blocking_threads: services.db.threads(),
        tls: None,
        connections: Arc::new(Connections::new("metrics", CONNECTIONS, None, TrustedProxies::default())),
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
    sync: Data<coins::Sync>,
) -> HttpResponse {
    let mut text = Exposition::default();
    if let Some(requests) = &services.requests {
        requests.write(&mut text);
    }
    connections.write(&mut text);
    services.tasks.write(&mut text);
    let name = "mintage_log_lines_dropped_total";
    text.single(name, "counter", "Log lines that nothing took in time.", dropped_log_lines());
    let (in_use, size) = services.db.in_use();
    text.single("mintage_database_slots_in_use", "gauge", "Database hops that are running.", in_use);
    text.single("mintage_database_slots", "gauge", "Database hops that may run at a time.", size);
    let losses = services.db.losses();
    let name = "mintage_database_outages_total";
    text.single(name, "counter", "How often PostgreSQL could not be reached any more.", losses.outages);
    let name = "mintage_database_connections_given_up_total";
    text.single(name, "counter", "Database connections that did not answer.", losses.given_up);
    let name = "mintage_database_threads_left_behind";
    text.single(name, "gauge", "Threads that still wait for one of those.", losses.left_behind);
    let (waiting, places) = services.auth.hasher.in_use();
    text.single("mintage_hash_queue", "gauge", "Password hashes that run or wait.", waiting);
    text.single("mintage_hash_queue_places", "gauge", "Hashes that may run or wait at a time.", places);
    let (remembered, checked) = services.jwt.access_tokens();
    let name = "mintage_access_tokens_total";
    text.family(name, "counter", "Accepted access tokens: signature remembered or checked.");
    text.sample(name, &[("signature", "remembered")], remembered);
    text.sample(name, &[("signature", "checked")], checked);
    services.limits.wrong_guesses.write(&mut text);
    sync.outcomes().write(&mut text);
    let is_up = health::is_up(&services.blocklist, &services.db);
    text.single("mintage_database_up", "gauge", "Whether the database answers.", u8::from(is_up));
    let age = services.blocklist.confirmed_ago().as_secs_f64();
    let name = "mintage_blocklist_age_seconds";
    text.single(name, "gauge", "Since the database last confirmed the list of ended sessions.", age);
    // What only the database knows is missing while it is away.
    let known = is_up.then(|| time::timeout(LONGEST_QUERY, what_is_stored(&services)));
    if let Some(Ok(Ok((status, jobs)))) = OptionFuture::from(known).await {
        status.write(&mut text);
        let name = "mintage_jobs";
        text.family(name, "gauge", "Jobs by state; one that was done is gone.");
        for state in [JobState::Waiting, JobState::Running, JobState::Dead] {
            let count = jobs.iter().find(|(one, _)| *one == state).map_or(0, |(_, count)| *count);
            text.sample(name, &[("state", state.as_str())], count);
        }
    }
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(text.0)
}

async fn what_is_stored(services: &Services) -> Result<(SyncStatus, Vec<(JobState, i64)>), Problem> {
    let (coins, social) = (services.coin_settings.clone(), services.social_settings.clone());
    let now = services.clock.now();
    let read = move |conn: &mut _| Ok((SyncStatus::read(conn, &coins, &social, now)?, jobs::count(conn)?));
    services.db.run(read).await
}
