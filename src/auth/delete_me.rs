use actix_web::{HttpResponse, delete, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    current_password::check_password,
    mails::{Notice, NoticeMail},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{ClientIp, Json, Problem},
    jobs,
    limits::Limits,
    passwords,
    tokens::{
        Blocklist, CurrentUser,
        sessions::{self, Selection},
    },
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
/// Removes the account for good and ends all its sessions. Asks for the password again, so that
/// a stolen access token is not enough. A confirmed address gets a mail about it.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The account is gone."),
        (status = 403, description = "`wrong-password`."),
        (status = 429, description = "`too-many-requests`: too many wrong passwords."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[delete("/user")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn delete_me(
    me: CurrentUser,
    body: Json<DeleteMe>,
    db: Data<Db>,
    hasher: Data<passwords::Hasher>,
    limits: Data<Limits>,
    address: ClientIp,
    blocklist: Data<Blocklist>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let now = clock.now();
    let verified = check_password(body.0.password, me.id, &db, &hasher, &limits, address, now).await?;
    let ended = db
        .tx(move |conn| {
            let account = verified.lock(conn)?;
            let ended = sessions::end(conn, me.id, Selection::All)?;
            users::delete(conn, me.id)?;
            // Else anyone could have a stranger mailed by registering and deleting, again and again.
            if account.email_confirmed {
                let notice =
                    NoticeMail { email: account.email.given().to_owned(), notice: Notice::AccountDeleted };
                jobs::enqueue(conn, &notice, now)?;
            }
            Ok::<_, Problem>(ended)
        })
        .await?;
    ended.refuse(&blocklist);
    Ok(HttpResponse::NoContent().finish())
}
