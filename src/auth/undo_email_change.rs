//! Undoes the change of an email address with the link from the mail.

use actix_web::{
    post,
    web::{Data, Json as JsonBody},
};
use chrono::{DateTime, Utc};
use diesel::PgConnection;

use super::{
    Auth, Ended,
    caller::Caller,
    challenges::{self, Challenge, Purpose},
    confirm::Confirmed,
    mails::{Notice, NoticeMail, Reason, ResetMail},
    proof::{MailedToken, Proof, refused, use_up},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    jobs,
    tokens::Client,
    users,
};

/// Undo a change of the email address
///
/// Gives the account its old address back, within 7 days after the change. All sessions end, all API keys are revoked,
/// and other pending links and codes stop working. The old address gets a mail to choose a new password, because the
/// person who changed the address knew the password. The address that loses the account gets a notice.
///
/// The right to undo ends early if the password is reset through the new address 24 hours or more after the change.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 200, description = "The account has its old address again.", body = Confirmed),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/email/change/undo")]
pub async fn undo_email_change(
    Caller(client): Caller,
    body: Json<MailedToken>,
    auth: Data<Auth>,
) -> Result<JsonBody<Confirmed>, Problem> {
    let now = auth.now();
    let proof = Proof::Token(body.0.token);
    let found = proof.find(Purpose::UndoEmailChange, &auth, client.network()).await?;
    let confirmed = Confirmed { email: found.email.given().to_owned() };
    let ended = auth.db.tx(move |conn| apply(conn, &found, &client, now)).await?;
    ended.ok_or_else(|| refused("/token"))?.refuse(&auth);
    Ok(JsonBody(confirmed))
}

/// Undoes the change and returns the ended sessions, or None if the challenge was used before.
fn apply(
    conn: &mut PgConnection,
    challenge: &Challenge,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Option<Ended>, Problem> {
    let user = challenge.user().ok_or_else(|| Problem::internal("an undo without a user"))?;
    let Some(before) = use_up(conn, user, challenge.id, now)? else {
        return Ok(None);
    };
    // No other account can have the address: the challenge has reserved it until now.
    users::change_email(conn, user, &challenge.email, now)?;
    challenges::cancel_after(conn, user, challenge)?;
    let ended = Ended::all(conn, user, Event::by_stranger(EventKind::ApiKeyRevoked, user, client), now)?;
    Event::by_stranger(EventKind::EmailChangeUndone, user, client).record(conn, now)?;
    jobs::enqueue(
        conn,
        &ResetMail { email: challenge.email.given().to_owned(), reason: Reason::Undone },
        now,
    )?;
    if before.email.canonical() != challenge.email.canonical() {
        let notice = NoticeMail::to(&before.email, Notice::AddressTakenBack);
        jobs::enqueue(conn, &notice, now)?;
    }
    Ok(Some(ended))
}
