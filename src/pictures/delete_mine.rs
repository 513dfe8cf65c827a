//! Answers `DELETE /api/v1/user/avatar`: removes the picture of the current user.

use actix_web::{HttpRequest, HttpResponse, delete, web::Data};
use diesel::PgConnection;

use super::store;
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::Db,
    http::{Problem, etag::IfMatch},
    tokens::{Client, CurrentUser, Refusal},
};

/// Delete your picture
///
/// Removes your profile picture. Succeeds if you have none. Browsers that have loaded it may show it from their cache.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.")),
    responses(
        (status = 204, description = "You have no picture."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime.")
    )
)]
#[delete("/user/avatar")]
pub async fn delete_my_avatar(
    me: CurrentUser,
    req: HttpRequest,
    client: Client,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let (condition, now) = (IfMatch::of(&req)?, clock.now());
    let remove = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let (_, is_changed) = store::replace(conn, me.id, None, &condition, now)?.ok_or(Refusal::Revoked)?;
        if is_changed {
            Event::by_user(EventKind::ProfileChanged, &me, &client).record(conn, now)?;
        }
        Ok(())
    };
    db.tx(remove).await?;
    Ok(HttpResponse::NoContent().finish())
}
