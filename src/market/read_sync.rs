//! Answers `GET /api/v1/admin/sync`: reports the status of the sync.

use actix_web::{
    get,
    web::{Data, Json},
};

use super::status::SyncStatus;
use crate::{
    clock::Clock,
    config::{Coins, Social},
    db::Db,
    http::Problem,
    tokens::Admin,
};

/// Read the status of the coin sync
///
/// Returns the providers and social sources, with failures, retry times and used budgets, and the last slots of
/// the schedule. For admins.
#[utoipa::path(
    tag = "coins",
    security(("admin" = [])),
    responses(
        (status = 200, description = "The status.", body = SyncStatus),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/admin/sync")]
pub async fn read_sync(
    _: Admin,
    db: Data<Db>,
    clock: Data<Clock>,
    settings: Data<Coins>,
    social: Data<Social>,
) -> Result<Json<SyncStatus>, Problem> {
    let now = clock.now();
    let status = db.query(move |conn| SyncStatus::read(conn, &settings, &social, now)).await?;
    Ok(Json(status))
}
