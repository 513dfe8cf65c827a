//! Answers `DELETE /api/v1/user/avatar`: removes the picture of the current user.

use actix_web::{HttpResponse, delete, web::Data};
use diesel::PgConnection;

use super::store;
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::Db,
    http::Problem,
    tokens::{Client, CurrentUser, Refusal},
};

/// Delete your picture
///
/// Removes your profile picture. Succeeds if you have none. Browsers that have loaded it may show it from their cache.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    responses((status = 204, description = "You have no picture."))
)]
#[delete("/user/avatar")]
pub async fn delete_my_avatar(
    me: CurrentUser,
    client: Client,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let now = clock.now();
    let remove = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let (_, is_changed) = store::replace(conn, me.id, None, now)?.ok_or(Refusal::Revoked)?;
        if is_changed {
            Event::by_user(EventKind::ProfileChanged, &me, &client).record(conn, now)?;
        }
        Ok(())
    };
    db.tx(remove).await?;
    Ok(HttpResponse::NoContent().finish())
}
