//! Answers `DELETE /api/v1/auth/sessions/{id}`: ends one of the current user's sessions.

use actix_web::{HttpResponse, delete, web::Data};

use super::Auth;
use crate::{
    audit::{Event, EventKind},
    db::SessionId,
    http::{Path, Problem, kind},
    tokens::{
        Client, CurrentUser,
        sessions::{self, Selection},
    },
};

/// End a session
///
/// Ends one of your sessions, for example that of a lost device. Its tokens are refused from the next request on.
/// Other services accept its access tokens until they expire, because they verify tokens without asking this one.
#[utoipa::path(
    tag = "sessions",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The session's id.")),
    responses(
        (status = 204, description = "The session has ended."),
        (status = 404, description = "`not-found`: you have no such session.")
    )
)]
#[delete("/auth/sessions/{id}")]
pub async fn end_session(
    me: CurrentUser,
    client: Client,
    path: Path<SessionId>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let now = auth.now();
    let end = move |conn: &mut _| {
        let ended = sessions::end(conn, me.id, Selection::Only(&[path.0]))?;
        if ended.count() > 0 {
            Event::by_user(EventKind::SessionEnded, &me, &client).in_session(path.0).record(conn, now)?;
        }
        Ok(ended)
    };
    let ended = auth.db.query_tx(end).await?;
    match ended.refuse(&auth.blocklist) {
        0 => Err(Problem::new(&kind::NOT_FOUND)),
        _ => Ok(HttpResponse::NoContent().finish()),
    }
}
