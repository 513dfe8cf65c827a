//! Requests the mail for a password reset.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth,
    caller::Caller,
    mails::{Reason, ResetMail},
};
use crate::{
    http::{Json, Problem},
    users::check_email,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com"}))]
pub struct ForgotPassword {
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: String,
}

/// Request a password reset
///
/// Mails a link and a code for a new password if an account has this address. The response is always the same, so
/// that it does not reveal accounts: the address is only looked up later, by the job that sends the mail.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 202, description = "A mail is on its way if an account has this address."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/password/forgot")]
pub async fn forgot_password(
    _: Caller,
    body: Json<ForgotPassword>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    auth.mail_if_known(&body.0.email, auth.limits.rates.mails.password_reset, |email| ResetMail {
        email,
        reason: Reason::Asked,
    })
    .await
}
