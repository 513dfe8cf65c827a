//! Answers `POST /api/v1/auth/logout`: ends the session of the token, the others, or all.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::Auth;
use crate::{
    http::{OptionalJson, Problem},
    tokens::{
        EndedSessions, PossiblyExpired,
        sessions::{self, Selection},
    },
};

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"scope": "this"}))]
pub struct Logout {
    #[serde(default)]
    #[schema(inline)]
    scope: Scope,
}

/// Which of your sessions end: that of the access token, all but that one, or all. `others` and `all`
/// need an access token that has not expired.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    This,
    Others,
    All,
}

/// Log out
///
/// Ends sessions: their refresh tokens are gone and their access tokens are refused from the
/// next request on. With an expired access token, `this` works too: the session it belongs to may still
/// be refreshed. `others` and `all` are refused then: an old token that is found, in a log for
/// example, must not log you out everywhere. It may be repeated: ending what has ended is a 204.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = [])),
    request_body(content = Option<Logout>, description = "Without a body: `this`."),
    responses(
        (status = 204, description = "Those sessions have ended."),
        (status = 401, description = "`missing-token`, `invalid-token`; `token-expired` for `others` and `all`.")
    )
)]
#[post("/auth/logout")]
pub async fn logout(
    me: PossiblyExpired,
    body: OptionalJson<Logout>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let PossiblyExpired { user: me, unexpired } = me;
    let OptionalJson(Logout { scope }) = body;
    if !matches!(scope, Scope::This) {
        unexpired?;
    }
    let ended = auth
        .db
        .query_tx(move |conn| {
            // An old token that someone found must not end anything once its session is over.
            if !sessions::is_live(conn, me.id, me.session)? {
                return Ok(EndedSessions::default());
            }
            match scope {
                Scope::This => sessions::end(conn, me.id, Selection::Only(&[me.session])),
                Scope::Others => sessions::end(conn, me.id, Selection::AllBut(me.session)),
                Scope::All => sessions::end(conn, me.id, Selection::All),
            }
        })
        .await?;
    ended.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
