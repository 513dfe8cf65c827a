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
    audit::{Event, EventKind},
    http::{Json, Problem},
    tokens::{Client, CurrentUser},
    users,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "123456", "new_password": "a horse of another colour"}))]
pub struct ConfirmPasswordChange {
    /// The six digits from the mail. Valid for 10 minutes and five attempts.
    #[schema(min_length = 6, max_length = 6, pattern = "^[0-9]{6}$")]
    #[validate(custom(function = "check_six_digits"))]
    code: String,
    /// 8 to 256 characters of any kind. Common passwords, your own address or name, and the name or address of
    /// this service are refused.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    #[validate(custom(function = "new_password::check"))]
    new_password: String,
}

/// Confirm a change of the password
///
/// Sets the new password. All sessions end, including the one of this request. Pending links and codes stop
/// working, except the link that undoes a change of the address.
#[utoipa::path(
    tag = "mail",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The password is set. Log in with it."),
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
            let Some((account, ended)) = new_password::set(conn, challenge, me.id, &hash, &client, now)?
            else {
                return Err(refused("/code"));
            };
            users::allow_login(conn, &limits, me.id, network, now)?;
            new_password::notify(conn, &account, &client, now)?;
            Event::by_user(EventKind::PasswordChanged, &me, &client).record(conn, now)?;
            Ok(ended)
        })
        .await?;
    ended.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
