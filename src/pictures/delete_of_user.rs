//! Answers `DELETE /api/v1/users/{id}/avatar`: removes the picture of a user, for admins.

use actix_web::{HttpRequest, HttpResponse, delete, web::Data};
use diesel::PgConnection;

use super::store;
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::{Db, UserId},
    http::{Path, Problem, etag::IfMatch},
    tokens::{Admin, Client},
};

/// Delete the picture of a user
///
/// For admins. Removes the profile picture of a user. Succeeds if the user has none. Browsers that have loaded it may
/// show it from their cache.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(
        ("id" = Uuid, Path, description = "The user's id."),
        ("If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.")
    ),
    responses(
        (status = 204, description = "The user has no picture."),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user, or the account is deleted."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime.")
    )
)]
#[delete("/users/{id}/avatar")]
pub async fn delete_avatar(
    admin: Admin,
    path: Path<UserId>,
    req: HttpRequest,
    client: Client,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let (id, condition, now) = (path.0, IfMatch::of(&req)?, clock.now());
    let remove = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let (_, is_changed) = store::replace(conn, id, None, &condition, now)?.ok_or(diesel::NotFound)?;
        if is_changed {
            Event::by_admin(EventKind::AvatarDeleted, &admin, &client, id).record(conn, now)?;
        }
        Ok(())
    };
    db.tx(remove).await?;
    Ok(HttpResponse::NoContent().finish())
}
