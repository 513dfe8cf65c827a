//! Answers `DELETE /api/v1/user/api-keys/{id}`: revokes an API key of the current user.

use actix_web::{HttpResponse, delete, web::Data};
use diesel::{PgConnection, QueryResult};

use crate::{
    audit::{Event, EventKind},
    auth::Auth,
    db::ApiKeyId,
    http::{Path, Problem, kind},
    tokens::{
        Client, CurrentUser,
        api_keys::{self, RevokedKeys},
    },
};

/// Revoke an API key
///
/// Revokes one of your keys for good. It is refused from the next request on; the requests that have begun are carried out.
#[utoipa::path(
    tag = "api-keys",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The id of the key.")),
    responses(
        (status = 204, description = "The key is revoked."),
        (status = 404, description = "`not-found`: you have no such key.")
    )
)]
#[delete("/user/api-keys/{id}")]
pub async fn revoke_api_key(
    me: CurrentUser,
    client: Client,
    path: Path<ApiKeyId>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let now = auth.now();
    let revoke = move |conn: &mut PgConnection| -> QueryResult<Option<RevokedKeys>> {
        let Some((key, revoked)) = api_keys::revoke(conn, me.id, path.0, now)? else {
            return Ok(None);
        };
        Event::by_user(EventKind::ApiKeyRevoked, &me, &client)
            .detail("key", key.prefix.as_str())
            .record(conn, now)?;
        Ok(Some(revoked))
    };
    let revoked = auth.db.query_tx(revoke).await?.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    auth.api_keys.forget(&revoked);
    Ok(HttpResponse::NoContent().finish())
}
