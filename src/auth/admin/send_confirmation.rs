//! Answers `POST /api/v1/users/{id}/confirmation`: mails another confirmation or invitation, for admins.

use actix_web::{HttpResponse, post, web::Data};
use diesel::PgConnection;

use crate::{
    auth::{
        Auth, admission,
        mails::{ConfirmationMail, InvitationMail},
    },
    db::UserId,
    http::{Path, Problem, kind},
    jobs,
    tokens::Admin,
    users::{self, Status},
};

/// Send a confirmation again
///
/// For admins. Mails another link to a user whose address is not confirmed: an invitation to a person who has not chosen a
/// password yet, otherwise a confirmation. Former links stop working.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(("id" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 202, description = "A mail is on its way."),
        (status = 403, description = "`forbidden`: not an admin; `registration-closed`."),
        (status = 404, description = "`not-found`: no such user."),
        (status = 409, description = "`not-applicable`: the address is confirmed, or the account is disabled or deleted."),
        (status = 429, description = "`too-many-requests`: too many mails to this address.")
    )
)]
#[post("/users/{id}/confirmation")]
pub async fn send_confirmation(
    _: Admin,
    path: Path<UserId>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let (id, now, limits) = (path.0, auth.now(), auth.limits.clone());
    let registration = auth.accounts.registration.clone();
    let send = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let user = users::lock(conn, id)?.ok_or(diesel::NotFound)?;
        let account = users::find_account(conn, id)?.ok_or(diesel::NotFound)?;
        let not_applicable = |detail| Err(Problem::new(&kind::NOT_APPLICABLE).detail(detail));
        match user.status {
            Status::Invited => admission::check_invitation(&registration)?,
            Status::Unconfirmed => {}
            Status::Active => return not_applicable("the address is confirmed"),
            Status::Disabled => return not_applicable("the account is disabled"),
            Status::Deleted => return not_applicable("the account is deleted"),
        }
        crate::auth::spend_mail(conn, &limits, limits.rates.mails.confirmation, &account.email, now)?;
        if user.status == Status::Invited {
            jobs::enqueue(conn, &InvitationMail { user: id }, now)?;
        } else {
            jobs::enqueue(conn, &ConfirmationMail { email: user.email }, now)?;
        }
        Ok(())
    };
    auth.db.tx(send).await?;
    Ok(HttpResponse::Accepted().finish())
}
