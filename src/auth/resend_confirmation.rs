//! Requests a new confirmation mail.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{Auth, caller::Caller, mails::ConfirmationMail};
use crate::{
    http::{Json, Problem},
    users::check_email,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com"}))]
pub struct ResendConfirmation {
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: String,
}

/// Resend the confirmation mail
///
/// Mails a new link and code if the address has an unconfirmed account or a pending registration. Earlier links and
/// codes of the same registration stop working. The response is always the same, so that it does not reveal
/// accounts: the address is only looked up later, by the job that sends the mail.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 202, description = "A mail is on its way if there is something to confirm."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/confirm/resend")]
pub async fn resend_confirmation(
    _: Caller,
    body: Json<ResendConfirmation>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    auth.mail_if_known(&body.0.email, auth.limits.rates.mails.confirmation, |email| ConfirmationMail {
        email,
    })
    .await
}
