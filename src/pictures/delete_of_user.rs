//! Answers `DELETE /api/v1/users/{id}/avatar`: removes the picture of a user, for admins.

use actix_web::{HttpResponse, delete, web::Data};
use diesel::PgConnection;

use super::store;
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::{Db, UserId},
    http::{Path, Problem},
    tokens::{Admin, Client},
};

/// Delete the picture of a user
///
/// For admins. Removes the profile picture of a user. Succeeds if the user has none. Browsers that have loaded it may
/// show it from their cache.
#[utoipa::path(
    tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 204, description = "The user has no picture."),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user, or the account is deleted.")
    )
)]
#[delete("/users/{id}/avatar")]
pub async fn delete_avatar(
    admin: Admin,
    path: Path<UserId>,
    client: Client,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (path.0, clock.now());
    let remove = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let (_, is_changed) = store::replace(conn, id, None, now)?.ok_or(diesel::NotFound)?;
        if is_changed {
            Event::by_admin(EventKind::AvatarDeleted, &admin, &client, id).record(conn, now)?;
        }
        Ok(())
    };
    db.tx(remove).await?;
    Ok(HttpResponse::NoContent().finish())
}
