//! Answers `POST /api/v1/users/{id}/restore`: restores a deleted account, for admins.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use diesel::PgConnection;

use crate::{
    audit::{Event, EventKind},
    auth::Auth,
    db::UserId,
    http::{
        Path, Problem,
        etag::{self, IfMatch},
        kind,
    },
    tokens::{Admin, Client},
    users::{self, Status, User},
};

/// Restore a user
///
/// For admins. Restores a deleted account with its address, username, password and data, until it is purged. It comes
/// back without its username if another account has that by now. Without effect on one that is not deleted.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(
        ("id" = Uuid, Path, description = "The user's id."),
        ("If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.")
    ),
    responses(
        (status = 200, description = "The account.", body = User,
            headers(("ETag" = String, description = "The new entity tag."))),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user, or it was purged."),
        (status = 409, description = "`email-taken`: another account has the address by now."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime.")
    )
)]
#[post("/users/{id}/restore")]
pub async fn restore_user(
    admin: Admin,
    path: Path<UserId>,
    req: HttpRequest,
    client: Client,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let condition = IfMatch::of(&req)?;
    let (id, now) = (path.0, auth.now());
    let restore = move |conn: &mut PgConnection| -> Result<User, Problem> {
        let user = users::lock(conn, id)?.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
        condition.check(user.version)?;
        if user.status != Status::Deleted {
            return Ok(user);
        }
        Event::by_admin(EventKind::UserRestored, &admin, &client, id).record(conn, now)?;
        users::restore(conn, &user, now)
    };
    let user = auth.db.tx(restore).await?;
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
