//! Lists the user's alerts.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{model::Alert, store};
use crate::{
    db::Db,
    http::Problem,
    tokens::{Allowed, api_keys::AlertsRead},
};

#[derive(Serialize, ToSchema)]
pub struct AlertList {
    /// The oldest first; at most 50.
    data: Vec<Alert>,
}

/// List your alerts
///
/// Returns your alerts, each with whether it is armed and when its threshold was last crossed.
#[utoipa::path(
    tag = "alerts",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The alerts.", body = AlertList))
)]
#[get("/user/alerts")]
pub async fn list_alerts(me: Allowed<AlertsRead>, db: Data<Db>) -> Result<Json<AlertList>, Problem> {
    let data = db.query(move |conn| store::list(conn, me.id)).await?;
    Ok(Json(AlertList { data }))
}
