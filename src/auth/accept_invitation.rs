//! Answers `POST /api/v1/auth/invitation/accept`: sets the first password of an invited person.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{
    Auth,
    caller::Caller,
    challenges::Purpose,
    new_password,
    proof::{Proof, check_code, check_proof, refused},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    users::{self, check_email},
};

/// Either `token`, or `email` and `code`; and the new password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check"))]
#[schema(example = json!({"email": "grace@example.com", "code": "K7QM2XPA", "new_password": "a horse of another colour"}))]
pub struct AcceptInvitation {
    /// From the link in the mail; at most 128 characters.
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    token: Option<String>,
    /// The address that the code was mailed to.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: Option<String>,
    /// The eight characters from the mail. Case, spaces and dashes make no difference.
    #[schema(pattern = "^[0-9A-TV-Za-tv-z]([ -]?[0-9A-TV-Za-tv-z]){7}$")]
    #[validate(custom(function = "check_code"))]
    code: Option<String>,
    /// 8 to 256 characters of any kind. Common passwords, your own address or name, and the name or address of
    /// this service are refused.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    #[validate(custom(function = "new_password::check"))]
    new_password: String,
}

fn check(body: &AcceptInvitation) -> Result<(), ValidationError> {
    check_proof(body.token.is_some(), body.email.is_some(), body.code.is_some())
}

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
    body: Json<AcceptInvitation>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Json(AcceptInvitation { token, email, code, new_password }) = body;
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
