//! Answers `POST /api/v1/auth/session/end`: ends the session of the mail about a log-in.

use actix_web::{HttpResponse, post, web::Data};
use diesel::PgConnection;

use super::{
    Auth,
    caller::Caller,
    challenges::Purpose,
    proof::{MailedToken, Proof, refused, use_up},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    tokens::{
        EndedSessions,
        sessions::{self, Selection},
    },
};

/// End the session of a mail
///
/// Ends the session that a mail about a log-in from a new device names, also if it has ended by now. Needs no access
/// token, since the person may have none. The password stays the same, so choose another one. The link works once, for 7
/// days.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 204, description = "The session has ended."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/session/end")]
pub async fn end_mailed_session(
    Caller(client): Caller,
    body: Json<MailedToken>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let now = auth.now();
    let challenge =
        Proof::Token(body.0.token).find_unused(Purpose::EndSession, &auth, client.network()).await?;
    let (user, session) = (challenge.user()).zip(challenge.session_id).ok_or_else(|| refused("/token"))?;
    let end = move |conn: &mut PgConnection| -> Result<EndedSessions, Problem> {
        use_up(conn, user, challenge.id, now)?.ok_or_else(|| refused("/token"))?;
        let ended = sessions::end(conn, user, Selection::Only(&[session]))?;
        Event::by_stranger(EventKind::SessionEnded, user, &client)
            .in_session(session)
            .detail("by", "mail")
            .record(conn, now)?;
        Ok(ended)
    };
    auth.db.tx(end).await?.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
