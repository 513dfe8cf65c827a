//! Answers `POST /api/v1/admin/sync`: requests a run of the sync.

use actix_web::{HttpRequest, HttpResponse, http::header, post, web::Data};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{providers::wants_real, store};
use crate::{
    clock::{Clock, start_of_slot},
    config::Coins,
    db::Db,
    http::{Envelope, Problem, kind},
    limits::Limits,
    tokens::Admin,
};

#[derive(Serialize, ToSchema)]
pub struct SyncRequested {
    /// The slot of this run in `GET /api/v1/admin/sync`.
    slot: DateTime<Utc>,
}

/// Sync coins now
///
/// Requests a run of the sync, which starts within seconds, after a run in progress. Pending requests are merged.
/// Providers that wait or are stopped are skipped until their `retry_at`. For admins.
#[utoipa::path(
    tag = "coins",
    security(("admin" = [])),
    responses(
        (status = 202, description = "The run is requested.", body = SyncRequested,
            headers(("Location" = String, description = "URL of the state of the sync."))),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 409, description = "`sync-off`: only demo data is configured."),
        (status = 429, description = "`too-many-requests`: at most 3 at once and one a minute, since runs cost credits.")
    )
)]
#[post("/admin/sync")]
pub async fn run_sync(
    _: Admin,
    req: HttpRequest,
    db: Data<Db>,
    clock: Data<Clock>,
    settings: Data<Coins>,
    limits: Data<Limits>,
    envelope: Data<Envelope>,
) -> Result<HttpResponse, Problem> {
    if !wants_real(&settings) {
        return Err(Problem::new(&kind::SYNC_OFF));
    }
    // All admins together, because each run costs credits of the providers.
    limits.requests.count(&req, limits.rates.sync, 0).await?;
    // PostgreSQL stores microseconds, and the response has to name the same slot.
    let now = clock.now().trunc_subsecs(6);
    let current = start_of_slot(now, settings.sync_interval);
    let slot = db.query_tx(move |conn| store::request(conn, current, now)).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, format!("{}/api/v1/admin/sync", envelope.public_url)))
        .json(SyncRequested { slot }))
}
