//! Reads an alert of the user.

use actix_web::{
    get,
    web::{Data, Json},
};
use uuid::Uuid;

use super::{model::Alert, store};
use crate::{
    db::Db,
    http::{Path, Problem},
    tokens::{Allowed, api_keys::AlertsRead},
};

/// Read an alert
///
/// Returns one of your alerts: whether it is armed and when its threshold was last crossed. An alert with `once` is deleted
/// when it crosses, so it is not found after that.
#[utoipa::path(
    tag = "alerts",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = Uuid, Path, description = "The id of the alert.", example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")),
    responses(
        (status = 200, description = "The alert.", body = Alert),
        (status = 404, description = "`not-found`: you have no such alert.")
    )
)]
#[get("/user/alerts/{id}")]
pub async fn read_alert(
    me: Allowed<AlertsRead>,
    path: Path<Uuid>,
    db: Data<Db>,
) -> Result<Json<Alert>, Problem> {
    let id = path.0;
    Ok(Json(db.query(move |conn| store::read(conn, me.id, id)).await?))
}
