use actix_web::{HttpResponse, delete, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{current_password::check_password, store};
use crate::{
    clock::Clock,
    db::Db,
    http::{ClientIp, Json, Problem},
    limits::Limits,
    passwords,
    tokens::{
        Blocklist, CurrentUser,
        sessions::{self, Which},
    },
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
/// a stolen access token is not enough.
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
    clock: Data<Clock>,
    blocklist: Data<Blocklist>,
) -> Result<HttpResponse, Problem> {
    let verified =
        check_password(body.0.password, me.id, &db, &hasher, &limits, address, clock.now()).await?;
    let ended = db
        .tx(move |conn| {
            verified.lock(conn)?;
            let ended = sessions::end(conn, me.id, Which::All)?;
            store::delete(conn, me.id)?;
            Ok::<_, Problem>(ended)
        })
        .await?;
    blocklist.refuse(&ended);
    Ok(HttpResponse::NoContent().finish())
}
