//! Begins the change of an email address: mails a link and a code to the new one.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth, admission,
    challenges::{self, NewChallenge, Purpose, Subject},
    mails::EmailChangeMail,
};
use crate::{
    http::{Json, Problem},
    jobs,
    tokens::{Client, CurrentUser},
    users::{EmailAddress, check_new_email},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"new_email": "ada.king@example.com", "password": "correct horse battery"}))]
pub struct ChangeEmail {
    /// At most 254 bytes. Unique, ignoring case.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_new_email"))]
    new_email: String,
    /// The current password.
    #[schema(format = "password", max_length = 1024)]
    #[validate(length(max = 1024, message = "must have at most 1024 characters"))]
    password: String,
}

/// Change the email address
///
/// Mails a link and a code to the new address. The address changes when one of them is sent to
/// `POST /api/v1/auth/email/change/confirm`. The response is the same if another account has the new address, so
/// that it does not reveal accounts: the owner of that account gets a notice instead.
#[utoipa::path(
    tag = "mail",
    security(("bearer" = [])),
    responses(
        (status = 202, description = "A mail to the new address is on its way."),
        (status = 403, description = "`wrong-password`, `email-domain-not-allowed`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/email/change")]
pub async fn change_email(
    me: CurrentUser,
    client: Client,
    body: Json<ChangeEmail>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Json(ChangeEmail { new_email, password }) = body;
    let email = EmailAddress::parse(&new_email).expect("validated");
    admission::check_domain(&auth.accounts.registration, &email, "/new_email")?;
    let now = auth.now();
    let verified = auth.check_password(password, me.id, client.network(), now).await?;
    let limits = auth.limits.clone();
    auth.db
        .tx(move |conn| {
            let account = verified.lock(conn)?;
            if account.email.canonical() == email.canonical() {
                return Err(Problem::invalid("/new_email", "unchanged", "is already your address"));
            }
            limits.budgets.spend(conn, limits.rates.mails.email_change, &me.id.to_string(), now)?;
            super::spend_mail(conn, &limits, limits.rates.mails.email_change, &email, now)?;
            let new =
                NewChallenge { purpose: Purpose::ChangeEmail, subject: Subject::User(me.id), email: &email };
            let challenge = challenges::open(conn, &new, now)?;
            jobs::enqueue(conn, &EmailChangeMail { challenge }, now)?;
            Ok(())
        })
        .await?;
    Ok(HttpResponse::Accepted().finish())
}
