use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::mails::{Reason, ResetMail};
use crate::{
    clock::Clock,
    db::{self, Db},
    http::{ClientIp, Json, Problem},
    jobs,
    limits::Limits,
    users::{EmailAddress, check_email},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com"}))]
pub struct ForgotPassword {
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: String,
}

/// Forgot the password
///
/// Mails a link and a code for a new password if the address belongs to an account. The answer is
/// always the same: the address is only looked up later, by the job that mails.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 202, description = "If there is such an account, a mail is on its way."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/password/forgot")]
pub async fn forgot_password(
    body: Json<ForgotPassword>,
    address: ClientIp,
    db: Data<Db>,
    limits: Data<Limits>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    limits.requests.check_address(super::PER_ADDRESS, address.0)?;
    let email = EmailAddress::parse(&body.0.email).expect("validated");
    db::charge_to(email.canonical());
    let (job, now) = (ResetMail { email: email.given().to_owned(), reason: Reason::Asked }, clock.now());
    db.tx(move |conn| {
        super::spend_mail(conn, &limits, super::PASSWORD_RESETS, &email, now)?;
        Ok::<_, Problem>(jobs::enqueue(conn, &job, now)?)
    })
    .await?;
    Ok(HttpResponse::Accepted().finish())
}
