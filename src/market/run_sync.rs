//! Answers `POST /api/v1/admin/sync`: requests a run of the sync.

use std::time::Duration;

use actix_web::{HttpResponse, http::header, post, web::Data};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{providers::wants_real, store};
use crate::{
    clock::{Clock, start_of_slot},
    config::Coins,
    db::Db,
    http::{Problem, kind},
    limits::{Limits, RateLimit},
    tokens::Admin,
};

/// Runs cost the providers' credits.
const RUNS: RateLimit = RateLimit { name: "sync", burst: 3, every: Duration::from_mins(1) };

#[derive(Serialize, ToSchema)]
pub struct SyncRequested {
    /// The slot that stands for this run in `GET /api/v1/admin/sync`.
    slot: DateTime<Utc>,
}

/// Sync coins now
///
/// For admins. A run is begun within seconds by any replica, after the one that is running, if
/// any; runs that were asked for and have not begun yet are one. Providers that wait or are stopped
/// are not asked before their time.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = [])),
    responses(
        (status = 202, description = "It will run.", body = SyncRequested,
            headers(("Location" = String, description = "Where to look how it goes."))),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 409, description = "`sync-off`: only the demonstration is wanted."),
        (status = 429, description = "`too-many-requests`: runs cost the providers' credits.")
    )
)]
#[post("/admin/sync")]
pub async fn run_sync(
    _: Admin,
    db: Data<Db>,
    clock: Data<Clock>,
    settings: Data<Coins>,
    limits: Data<Limits>,
) -> Result<HttpResponse, Problem> {
    if !wants_real(&settings) {
        return Err(Problem::new(&kind::SYNC_OFF));
    }
    limits.requests.check(RUNS, ())?;
    // As exact as the database keeps it.
    let now = clock.now().trunc_subsecs(6);
    let current = start_of_slot(now, settings.sync_interval);
    let slot = db.tx(move |conn| Ok::<_, Problem>(store::request(conn, current, now)?)).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, "/api/v1/admin/sync"))
        .json(SyncRequested { slot }))
}
