//! Deletes an alert of the user.

use actix_web::{HttpResponse, delete, web::Data};
use uuid::Uuid;

use super::store;
use crate::{
    db::Db,
    http::{Path, Problem, kind},
    tokens::{Allowed, api_keys::AlertsWrite},
};

/// Delete an alert
///
/// Deletes one of your alerts. A mail that is already queued may still arrive.
#[utoipa::path(
    tag = "alerts",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = Uuid, Path, description = "The id of the alert.", example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")),
    responses(
        (status = 204, description = "The alert is deleted."),
        (status = 404, description = "`not-found`: you have no such alert.")
    )
)]
#[delete("/user/alerts/{id}")]
pub async fn delete_alert(
    me: Allowed<AlertsWrite>,
    path: Path<Uuid>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let id = path.0;
    if db.query(move |conn| store::delete(conn, me.id, id)).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::new(&kind::NOT_FOUND))
}
