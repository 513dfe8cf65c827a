//! Allows log-ins from new networks again with the link from the mail.

use actix_web::{HttpResponse, post, web::Data};

use super::{
    Auth,
    caller::Caller,
    challenges::Purpose,
    proof::{MailedToken, Proof, refused, use_up},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem},
    users,
};

/// Unlock log-in
///
/// Allows log-ins to the account from your current network again, after 100 wrong passwords have stopped log-ins
/// from new networks. The wrong passwords no longer count. No session starts, and the password stays the same. The
/// link is mailed when log-ins are stopped; it works once, for 24 hours.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 204, description = "Log-in works again from this network."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/login/unlock")]
pub async fn unlock_login(
    Caller(client): Caller,
    body: Json<MailedToken>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let (now, network) = (auth.now(), client.network());
    let challenge = Proof::Token(body.0.token).find_unused(Purpose::UnlockLogin, &auth, network).await?;
    let user = challenge.user().ok_or_else(|| Problem::internal("an unlock without a user"))?;
    let limits = auth.limits.clone();
    auth.db
        .tx(move |conn| -> Result<(), Problem> {
            use_up(conn, user, challenge.id, now)?.ok_or_else(|| refused("/token"))?;
            Event::by_stranger(EventKind::LoginsAllowed, user, &client).record(conn, now)?;
            Ok(users::allow_login(conn, &limits, user, network, now)?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
