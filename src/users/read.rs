//! Answers `GET /api/v1/users/{id}`: returns an account, for admins.

use actix_web::{HttpResponse, get, web::Data};

use super::{model::User, store};
use crate::{
    db::{Db, UserId},
    http::{Path, Problem, etag, kind},
    tokens::Admin,
};

/// Read a user
///
/// For admins. Returns an account.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(("id" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The user.", body = User,
            headers(("ETag" = String, description = "The entity tag."))),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user.")
    )
)]
#[get("/users/{id}")]
pub async fn read_user(_: Admin, path: Path<UserId>, db: Data<Db>) -> Result<HttpResponse, Problem> {
    let user: Option<User> = db.query(move |conn| store::find(conn, path.0)).await?;
    let user = user.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
