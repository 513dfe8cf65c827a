//! Answers `GET /api/v1/user/api-keys/{id}/usage`: returns how many requests were made with a key.

use actix_web::{
    get,
    web::{Data, Json},
};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::Auth,
    db::ApiKeyId,
    http::{Path, Problem, kind},
    tokens::{CurrentUser, api_keys},
};

#[derive(Serialize, ToSchema)]
pub struct ApiKeyUsage {
    /// The newest day first; days without requests are left out.
    data: Vec<DayOfUse>,
}

#[derive(Serialize, ToSchema)]
pub struct DayOfUse {
    /// In UTC.
    #[schema(value_type = String, format = Date, example = "2026-11-20")]
    day: NaiveDate,
    #[schema(example = 1440, minimum = 1)]
    requests: i64,
}

/// Read the usage of an API key
///
/// Returns the number of requests with one of your keys on each of the last 30 days, a few seconds late. Requests that
/// were refused because of the quota are not counted.
#[utoipa::path(
    tag = "api-keys",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The id of the key.")),
    responses(
        (status = 200, description = "The requests by day.", body = ApiKeyUsage),
        (status = 404, description = "`not-found`: you have no such key.")
    )
)]
#[get("/user/api-keys/{id}/usage")]
pub async fn read_api_key_usage(
    me: CurrentUser,
    path: Path<ApiKeyId>,
    auth: Data<Auth>,
) -> Result<Json<ApiKeyUsage>, Problem> {
    let (id, now) = (path.0, auth.now());
    let days = auth.db.query(move |conn| api_keys::usage(conn, me.id, id, now)).await?;
    let days = days.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    let day = |one: api_keys::DayOfUse| DayOfUse { day: one.day, requests: one.requests };
    Ok(Json(ApiKeyUsage { data: days.into_iter().map(day).collect() }))
}
