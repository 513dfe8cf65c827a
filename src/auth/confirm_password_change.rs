//! Completes the change of a password with the code from the mail.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth,
    challenges::{Owner, Purpose},
    new_password,
    proof::{Proof, check_six_digits, refused},
};
use crate::{
    http::{Json, Problem},
    tokens::{Client, CurrentUser},
    users,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "123456", "new_password": "a horse of another colour"}))]
pub struct ConfirmPasswordChange {
    /// Of the mail; for 10 minutes and five tries.
    #[schema(pattern = "^[0-9]{6}$")]
    #[validate(custom(function = "check_six_digits"))]
    code: String,
    /// 8 to 256 characters of any kind; common ones and your own address or name are refused, and so are
    /// those of this service.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    #[validate(custom(function = "new_password::check"))]
    new_password: String,
}

/// Change the password: with the code
///
/// Sets the new password and ends all sessions, this one too, and whatever was pending.
#[utoipa::path(
    tag = "mail",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The password is set; log in with it."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/password/change/confirm")]
pub async fn confirm_password_change(
    me: CurrentUser,
    client: Client,
    body: Json<ConfirmPasswordChange>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Json(ConfirmPasswordChange { code, new_password }) = body;
    let (now, network) = (auth.now(), client.network());
    let proof = Proof::Code { owner: Owner::User(me.id), code };
    let challenge = proof.find_unused(Purpose::ChangePassword, &auth, network).await?.id;
    let hash = new_password::hash(&auth, new_password, me.id, network).await?;
    let limits = auth.limits.clone();
    let ended = auth
        .db
        .tx(move |conn| {
            let Some((_, ended)) = new_password::set(conn, challenge, me.id, &hash, now)? else {
                return Err(refused("/code"));
            };
            users::allow_login(conn, &limits, me.id, network, now)?;
            Ok(ended)
        })
        .await?;
    ended.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
