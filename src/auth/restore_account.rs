//! Answers `POST /api/v1/auth/account/restore`: restores a deleted account with the link from the mail.

use actix_web::{HttpResponse, post, web::Data};
use diesel::PgConnection;

use super::{
    Auth,
    caller::Caller,
    challenges::{self, Purpose},
    proof::{MailedToken, Proof, refused},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    users::{self, Status},
};

/// Restore your account
///
/// Restores an account that its owner has deleted, with everything in it, until it is purged. Log in with its password
/// afterwards. It comes back without its username if another account has that by now. The link works once; if another
/// account has the address by now, it still works after that account was deleted or got another address.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 204, description = "The account is restored."),
        (status = 409, description = "`email-taken`: another account has the address by now."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/account/restore")]
pub async fn restore_account(
    Caller(client): Caller,
    body: Json<MailedToken>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let now = auth.now();
    let proof = Proof::Token(body.0.token);
    let challenge = proof.find_unused(Purpose::RestoreAccount, &auth, client.network()).await?;
    let id = challenge.user().ok_or_else(|| refused("/token"))?;
    let restore = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let user = users::lock(conn, id)?.filter(|user| user.status == Status::Deleted);
        let user = user.ok_or_else(|| refused("/token"))?;
        if !challenges::consume(conn, challenge.id, now)? {
            return Err(refused("/token"));
        }
        users::restore(conn, &user, now)?;
        Event::by_stranger(EventKind::UserRestored, id, &client).record(conn, now)?;
        Ok(())
    };
    auth.db.tx(restore).await?;
    Ok(HttpResponse::NoContent().finish())
}
