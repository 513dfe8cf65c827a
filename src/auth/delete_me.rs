//! Answers `DELETE /api/v1/user`: deletes the account of the current user.

use actix_web::{HttpResponse, delete, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth, Ended, challenges,
    mails::{Notice, NoticeMail},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    jobs,
    tokens::{Client, CurrentUser, Role},
    users,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery"}))]
pub struct DeleteMe {
    /// The current password.
    #[schema(format = "password", max_length = 1024)]
    #[validate(length(max = 1024))]
    password: String,
}

/// Delete your account
///
/// Deletes the account for good and ends all its sessions and API keys. The password is required, so that a stolen access token
/// is not enough. A confirmed address gets a notice by mail.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The account is deleted."),
        (status = 403, description = "`wrong-password`."),
        (status = 429, description = "`too-many-requests`: too many wrong passwords."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[delete("/user")]
pub async fn delete_me(
    me: CurrentUser,
    client: Client,
    body: Json<DeleteMe>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let (now, grace) = (auth.now(), auth.accounts.deletion_grace);
    let verified = auth.check_password(body.0.password, me.id, client.network(), now).await?;
    let delete = move |conn: &mut _| -> Result<_, Problem> {
        let account = verified.lock(conn)?;
        if users::lock(conn, me.id)?.is_some_and(|user| user.role == Role::Admin) {
            users::keep_an_admin(conn, me.id)?;
        }
        let ended = Ended::all(conn, me.id, Event::by_user(EventKind::ApiKeyRevoked, &me, &client), now)?;
        users::mark_deleted(conn, me.id, now, grace)?;
        challenges::cancel_all(conn, me.id)?;
        Event::by_user(EventKind::UserDeleted, &me, &client).record(conn, now)?;
        // Otherwise anyone could send mails to a stranger by registering and deleting an account repeatedly.
        if account.email_confirmed {
            let notice = NoticeMail::to(&account.email, Notice::AccountDeleted);
            jobs::enqueue(conn, &notice, now)?;
        }
        Ok(ended)
    };
    auth.db.tx(delete).await?.refuse(&auth);
    Ok(HttpResponse::NoContent().finish())
}
