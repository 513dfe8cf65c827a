//! Answers `DELETE /api/v1/user`: deletes the account of the current user.

use actix_web::{HttpResponse, delete, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth, Ended,
    challenges::{self, NewChallenge, Purpose, Subject},
    mails::{Notice, NoticeMail, Origin, RestoreMail},
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
/// Deletes the account and ends all its sessions and API keys. The password is required, so that a stolen access token
/// is not enough. The address and the username are free for others at once. Everything else is kept for
/// `ACCOUNT_DELETION_GRACE` (14 days by default) and then deleted for good: until then a link that is mailed to a
/// confirmed address restores the account. The last admin cannot be deleted.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The account is deleted."),
        (status = 403, description = "`wrong-password`."),
        (status = 409, description = "`last-admin`."),
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
        let deleted = users::mark_deleted(conn, me.id, now, grace)?;
        challenges::forget(conn, me.id)?;
        Event::by_user(EventKind::UserDeleted, &me, &client).record(conn, now)?;
        // Otherwise anyone could send mails to a stranger by registering and deleting an account repeatedly.
        if account.email_confirmed && !grace.is_zero() {
            let subject = Subject::User(me.id);
            let new = NewChallenge { purpose: Purpose::RestoreAccount, subject, email: &account.email };
            let challenge = challenges::open(conn, &new, now)?;
            let purge_at = deleted.purge_at.unwrap_or(now);
            let (user, origin) = (Some(me.id), Some(Origin::of(&client, now)));
            jobs::enqueue(conn, &RestoreMail { challenge, user, purge_at, origin }, now)?;
        } else if account.email_confirmed {
            let notice = NoticeMail::to(&account.email, Notice::AccountDeleted).by(&client, now);
            jobs::enqueue(conn, &notice, now)?;
        }
        Ok(ended)
    };
    auth.db.tx(delete).await?.refuse(&auth);
    Ok(HttpResponse::NoContent().finish())
}
