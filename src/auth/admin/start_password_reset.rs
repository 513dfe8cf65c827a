//! Answers `POST /api/v1/users/{id}/password-reset`: mails a link for a new password, for admins.

use actix_web::{HttpResponse, post, web::Data};
use diesel::PgConnection;

use crate::{
    auth::{
        Auth,
        mails::{Reason, ResetMail},
    },
    db::UserId,
    http::{Path, Problem, kind},
    jobs,
    tokens::Admin,
    users::{self, Status},
};

/// Start a password reset
///
/// For admins. Mails the user a link and a code for a new password. The present password works until then; end the
/// sessions or disable the account if another person knows it.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(("id" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 202, description = "A mail is on its way."),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user."),
        (status = 409, description = "`not-applicable`: the account is disabled or deleted."),
        (status = 429, description = "`too-many-requests`: too many mails to this address.")
    )
)]
#[post("/users/{id}/password-reset")]
pub async fn start_password_reset(
    _: Admin,
    path: Path<UserId>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let (id, now, limits) = (path.0, auth.now(), auth.limits.clone());
    let start = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let user = users::lock(conn, id)?.ok_or(diesel::NotFound)?;
        let account = users::find_account(conn, id)?.ok_or(diesel::NotFound)?;
        if matches!(user.status, Status::Disabled | Status::Deleted) {
            return Err(Problem::new(&kind::NOT_APPLICABLE).detail("the account is disabled or deleted"));
        }
        crate::auth::spend_mail(conn, &limits, limits.rates.mails.password_reset, &account.email, now)?;
        jobs::enqueue(conn, &ResetMail { email: user.email, reason: Reason::Asked }, now)?;
        Ok(())
    };
    auth.db.tx(start).await?;
    Ok(HttpResponse::Accepted().finish())
}
