//! Answers `GET /api/v1/user`: returns the account of the current user.

use actix_web::{HttpResponse, get, web::Data};

use super::{model::User, store};
use crate::{
    db::Db,
    http::{Problem, etag},
    tokens::{Allowed, Refusal, api_keys::ProfileRead},
};

/// Read your account
///
/// Returns the account of the access token. Its `ETag` protects a later change: send it as `If-Match`.
#[utoipa::path(
    tag = "user",
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = 200, description = "The account.", body = User,
            headers(("ETag" = String, description = "For `If-Match` in a change.")))
    )
)]
#[get("/user")]
pub async fn read_me(me: Allowed<ProfileRead>, db: Data<Db>) -> Result<HttpResponse, Problem> {
    let user: Option<User> = db.query(move |conn| store::find(conn, me.id)).await?;
    let user = user.ok_or(Refusal::Revoked)?;
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
