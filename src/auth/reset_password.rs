//! Sets a new password with the link or code from the mail.

use actix_web::{HttpResponse, post, web::Data};
use chrono::TimeDelta;

use super::{
    Auth,
    caller::Caller,
    challenges::{self, Purpose},
    new_password::{self, ChoosePassword},
    proof::{Proof, refused},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    users,
};

/// How long after a change of the address a reset through the new address leaves the right to undo the change.
const OBJECTION_PERIOD: TimeDelta = TimeDelta::hours(24);

/// Reset the password
///
/// Sets a new password with the link or code that `POST /api/v1/auth/password/forgot` mailed. It also confirms the
/// address. All sessions end, no session starts, and other pending links and codes stop working.
///
/// 24 hours or more after a change of the address, a reset also ends the right to undo that change, so that the
/// former owner of an account cannot take it back. The link works once, for 30 minutes. The code works for 10
/// minutes and allows five wrong attempts from one network.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 204, description = "The password is set. Log in with it."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/password/reset")]
pub async fn reset_password(
    Caller(client): Caller,
    body: Json<ChoosePassword>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Json(ChoosePassword { token, email, code, new_password }) = body;
    let (now, network) = (auth.now(), client.network());
    let proof = Proof::new(token, email.as_deref(), code);
    let pointer = proof.pointer();
    let challenge = proof.find_unused(Purpose::ResetPassword, &auth, network).await?;
    let user = challenge.user().ok_or_else(|| refused(pointer))?;
    let hash = new_password::hash(&auth, new_password, user, network).await?;
    let limits = auth.limits.clone();
    let ended = auth
        .db
        .tx(move |conn| {
            let Some((account, ended)) = new_password::set(conn, challenge.id, user, &hash, &client, now)?
            else {
                return Err(refused(pointer));
            };
            // The token or the code proves that the person receives mail at the address.
            users::confirm_email(conn, user, &account.email, now)?;
            users::allow_login(conn, &limits, user, network, now)?;
            new_password::notify(conn, &account, &client, now)?;
            Event::by_stranger(EventKind::PasswordReset, user, &client).record(conn, now)?;
            // The owner of the former address had enough time to object. From now on an account that was handed over
            // cannot be taken back together with its new owner's data.
            if account.email_changed_at.is_some_and(|at| now - at >= OBJECTION_PERIOD) {
                challenges::cancel_all(conn, user)?;
            }
            Ok(ended)
        })
        .await?;
    ended.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
