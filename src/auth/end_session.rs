//! Answers `DELETE /api/v1/auth/sessions/{id}`: ends one of the current user's sessions.

use actix_web::{HttpResponse, delete, web::Data};

use super::Auth;
use crate::{
    db::SessionId,
    http::{Path, Problem, kind},
    tokens::{
        CurrentUser,
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
    path: Path<SessionId>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let ended = auth.db.query_tx(move |conn| sessions::end(conn, me.id, Selection::Only(&[path.0]))).await?;
    match ended.refuse(&auth.blocklist) {
        0 => Err(Problem::new(&kind::NOT_FOUND)),
        _ => Ok(HttpResponse::NoContent().finish()),
    }
}
