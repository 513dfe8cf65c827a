//! Prometheus metrics on a port of their own (`METRICS_BIND`): whoever may see them is not who may
//! use the API.

use std::{net::TcpListener, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    web::{self, Data},
};
use anyhow::Result;

use super::Services;
use crate::{
    coins,
    telemetry::{CONTENT_TYPE, Exposition},
};

/// Answers `GET /metrics`; runs when it is awaited, until it is stopped.
pub(super) fn serve(listener: TcpListener, services: &Services, sync: Arc<coins::Sync>) -> Result<Server> {
    let services = Data::new(services.clone());
    let sync = Data::from(sync);
    let server = HttpServer::new(move || {
        App::new().app_data(services.clone()).app_data(sync.clone()).route("/metrics", web::get().to(metrics))
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

async fn metrics(services: Data<Services>, sync: Data<coins::Sync>) -> HttpResponse {
    let mut text = Exposition::default();
    if let Some(requests) = &services.requests {
        requests.write(&mut text);
    }
    let (in_use, size) = services.db.in_use();
    text.single("mintage_database_slots_in_use", "gauge", "Database hops that are running.", in_use);
    text.single("mintage_database_slots", "gauge", "Database hops that may run at a time.", size);
    let (waiting, places) = services.hasher.in_use();
    text.single("mintage_hash_queue", "gauge", "Password hashes that run or wait.", waiting);
    text.single("mintage_hash_queue_places", "gauge", "Hashes that may run or wait at a time.", places);
    let (remembered, checked) = services.jwt.access_tokens();
    let name = "mintage_access_tokens_total";
    text.family(name, "counter", "Accepted access tokens: signature remembered or checked.");
    text.sample(name, &[("signature", "remembered")], remembered);
    text.sample(name, &[("signature", "checked")], checked);
    sync.outcomes().write(&mut text);
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(text.0)
}
