//! Answers `POST /api/v1/auth/logout`: ends the session of the token, the others, or all.

use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::Auth;
use crate::{
    audit::{Event, EventKind},
    http::{OptionalJson, Problem},
    tokens::{
        Client, EndedSessions, PossiblyExpired,
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

/// Which of your sessions end: the one of the access token, all others, or all. `others` and `all` need an access
/// token that has not expired.
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
/// Ends sessions. Their refresh tokens and access tokens are refused from the next request on. Idempotent: ending a
/// session that has ended is a 204.
///
/// `this` also accepts an expired access token, because its session can still be refreshed. `others` and `all` do
/// not, so that an old access token, found in a log for example, cannot log you out everywhere.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = [])),
    request_body(content = Option<Logout>, description = "Optional. Without a body, `scope` is `this`."),
    responses(
        (status = 204, description = "The sessions have ended."),
        (status = 401, description = "`missing-token`, `invalid-token`; `token-expired` for `others` and `all`.")
    )
)]
#[post("/auth/logout")]
pub async fn logout(
    me: PossiblyExpired,
    client: Client,
    body: OptionalJson<Logout>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let PossiblyExpired { user: me, unexpired } = me;
    let OptionalJson(Logout { scope }) = body;
    if !matches!(scope, Scope::This) {
        unexpired?;
    }
    let now = auth.now();
    let ended = auth
        .db
        .query_tx(move |conn| {
            // An old token that someone found must not end other sessions after its own has ended.
            if !sessions::is_live(conn, me.id, me.session)? {
                return Ok(EndedSessions::default());
            }
            let ended = match scope {
                Scope::This => sessions::end(conn, me.id, Selection::Only(&[me.session]))?,
                Scope::Others => sessions::end(conn, me.id, Selection::AllBut(me.session))?,
                Scope::All => sessions::end(conn, me.id, Selection::All)?,
            };
            Event::by_user(EventKind::LoggedOut, &me, &client)
                .detail("sessions", ended.count())
                .record(conn, now)?;
            Ok(ended)
        })
        .await?;
    ended.refuse(&auth.blocklist);
    Ok(HttpResponse::NoContent().finish())
}
