//! Answers `GET /api/v1/user/api-keys`: lists the current user's API keys.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::model::ApiKey;
use crate::{
    auth::Auth,
    http::Problem,
    tokens::{CurrentUser, api_keys},
};

#[derive(Serialize, ToSchema)]
pub struct ApiKeyList {
    /// The oldest first; at most 20.
    data: Vec<ApiKey>,
}

/// List your API keys
///
/// Returns your keys that are not revoked, also those that have expired in the last 30 days. The keys themselves are not
/// stored and cannot be shown again.
#[utoipa::path(
    tag = "api-keys",
    security(("bearer" = [])),
    responses((status = 200, description = "The keys.", body = ApiKeyList))
)]
#[get("/user/api-keys")]
pub async fn list_api_keys(me: CurrentUser, auth: Data<Auth>) -> Result<Json<ApiKeyList>, Problem> {
    let keys = auth.db.query(move |conn| api_keys::list(conn, me.id)).await?;
    Ok(Json(ApiKeyList { data: keys.into_iter().map(ApiKey::from).collect() }))
}
