//! Begins the change of a password: mails a code to the account's address.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth,
    challenges::{self, NewChallenge, Purpose, Subject},
    mails::PasswordChangeMail,
};
use crate::{
    http::{Json, Problem},
    jobs,
    tokens::{Client, CurrentUser},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery"}))]
pub struct ChangePassword {
    /// At most 1,024 characters.
    #[schema(format = "password", max_length = 1024)]
    #[validate(length(max = 1024, message = "must have at most 1024 characters"))]
    current_password: String,
}

/// Change the password
///
/// Checks the current password and mails a code of six digits to your address, for
/// `POST /api/v1/auth/password/change/confirm`. The code is required so that a stolen access token and a known
/// password are not enough.
#[utoipa::path(
    tag = "mail",
    security(("bearer" = [])),
    responses(
        (status = 202, description = "A code is on its way."),
        (status = 403, description = "`wrong-password`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/password/change")]
pub async fn change_password(
    me: CurrentUser,
    client: Client,
    body: Json<ChangePassword>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let now = auth.now();
    let verified = auth.check_password(body.0.current_password, me.id, client.network(), now).await?;
    let limits = auth.limits.clone();
    let begin = move |conn: &mut _| -> Result<(), Problem> {
        let account = verified.lock(conn)?;
        limits.budgets.spend(conn, limits.rates.mails.password_change, account.email.canonical(), now)?;
        let subject = Subject::User(me.id);
        let new = NewChallenge { purpose: Purpose::ChangePassword, subject, email: &account.email };
        let challenge = challenges::open(conn, &new, now)?;
        jobs::enqueue(conn, &PasswordChangeMail { challenge }, now)?;
        Ok(())
    };
    auth.db.tx(begin).await?;
    Ok(HttpResponse::Accepted().finish())
}
