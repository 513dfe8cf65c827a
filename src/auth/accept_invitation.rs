//! Answers `POST /api/v1/auth/invitation/accept`: sets the first password of an invited person.

use actix_web::{HttpResponse, post, web::Data};

use super::{
    Auth,
    caller::Caller,
    challenges::Purpose,
    new_password::{self, ChoosePassword},
    proof::{Proof, refused},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    users,
};

/// Accept an invitation
///
/// Sets the first password of an account that an admin has made, with the link or code from the mail. It also confirms the
/// address. The link works once, for 7 days. The code works for 10 minutes and allows five wrong attempts from one
/// network.
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
#[post("/auth/invitation/accept")]
pub async fn accept_invitation(
    Caller(client): Caller,
    body: Json<ChoosePassword>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Json(ChoosePassword { token, email, code, new_password }) = body;
    let (now, network) = (auth.now(), client.network());
    let proof = Proof::new(token, email.as_deref(), code);
    let pointer = proof.pointer();
    let challenge = proof.find_unused(Purpose::AcceptInvitation, &auth, network).await?;
    let user = challenge.user().ok_or_else(|| refused(pointer))?;
    let hash = new_password::hash(&auth, new_password, user, network).await?;
    let accept = move |conn: &mut _| {
        let Some((account, ended)) = new_password::set(conn, challenge.id, user, &hash, &client, now)? else {
            return Err(refused(pointer));
        };
        users::confirm_email(conn, user, &account.email, now)?;
        Event::by_stranger(EventKind::InvitationAccepted, user, &client).record(conn, now)?;
        Ok(ended)
    };
    auth.db.tx(accept).await?.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
