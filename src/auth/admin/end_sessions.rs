//! Answers `DELETE /api/v1/users/{id}/sessions`: ends all sessions of a user, for admins.

use actix_web::{HttpResponse, delete, web::Data};
use diesel::PgConnection;

use crate::{
    audit::{Event, EventKind},
    auth::Auth,
    db::UserId,
    http::{Path, Problem},
    tokens::{
        Admin, Client, EndedSessions,
        sessions::{self, Selection},
    },
    users,
};

/// End a user's sessions
///
/// For admins. Ends all sessions of the user, for example after a theft. Their tokens are refused from the next request
/// on. The user can log in again; `PATCH /api/v1/users/{id}` with `disabled` prevents that.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(("id" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 204, description = "The user has no session."),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user.")
    )
)]
#[delete("/users/{id}/sessions")]
pub async fn end_user_sessions(
    admin: Admin,
    path: Path<UserId>,
    client: Client,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (path.0, auth.now());
    let end = move |conn: &mut PgConnection| -> Result<EndedSessions, Problem> {
        users::lock_account(conn, id)?.ok_or(diesel::NotFound)?;
        let ended = sessions::end(conn, id, Selection::All)?;
        Event::by_admin(EventKind::SessionEnded, &admin, &client, id)
            .detail("count", ended.count())
            .record(conn, now)?;
        Ok(ended)
    };
    auth.db.tx(end).await?.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
