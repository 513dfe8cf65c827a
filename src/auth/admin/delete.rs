//! Answers `DELETE /api/v1/users/{id}`: deletes an account, for admins.

use actix_web::{HttpRequest, HttpResponse, delete, web::Data};
use diesel::PgConnection;

use crate::{
    audit::{Event, EventKind},
    auth::{Auth, Ended, challenges},
    db::UserId,
    http::{Path, Problem, etag::IfMatch, kind},
    tokens::{Admin, Client, Role},
    users::{self, Status},
};

/// Delete a user
///
/// For admins. Logs the user out at once, revokes all API keys for good, and frees the address and the username for
/// others. Until it is purged, `ACCOUNT_DELETION_GRACE` later (14 days by default), `POST /api/v1/users/{id}/restore`
/// restores the account. The last admin who can log in cannot be deleted.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(
        ("id" = Uuid, Path, description = "The user's id."),
        ("If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.")
    ),
    responses(
        (status = 204, description = "The account is deleted."),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user, or it is deleted."),
        (status = 409, description = "`last-admin`."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime.")
    )
)]
#[delete("/users/{id}")]
pub async fn delete_user(
    admin: Admin,
    path: Path<UserId>,
    req: HttpRequest,
    client: Client,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let condition = IfMatch::of(&req)?;
    let (id, now, grace) = (path.0, auth.now(), auth.accounts.deletion_grace);
    let delete = move |conn: &mut PgConnection| -> Result<Ended, Problem> {
        let user = users::lock(conn, id)?.filter(|user| user.status != Status::Deleted);
        let user = user.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
        condition.check(user.version)?;
        if user.role == Role::Admin {
            users::keep_an_admin(conn, id)?;
        }
        users::mark_deleted(conn, id, now, grace)?;
        challenges::forget(conn, id)?;
        Event::by_admin(EventKind::UserDeleted, &admin, &client, id).record(conn, now)?;
        Ok(Ended::all(conn, id, Event::by_admin(EventKind::ApiKeyRevoked, &admin, &client, id), now)?)
    };
    auth.db.tx(delete).await?.refuse(&auth);
    Ok(HttpResponse::NoContent().finish())
}
