//! Answers `POST /oauth/revoke` (RFC 7009): ends the session of a token, or revokes an API key.

use actix_web::{HttpResponse, post, web::Data};
use diesel::{PgConnection, QueryResult};

use super::{
    error::{OAuthError, OAuthErrorBody},
    form::TokenForm,
    introspect::unless_invalid,
};
use crate::{
    audit::{Event, EventKind},
    auth::{Auth, caller::Caller, ended::Ended},
    db::{SessionId, UserId},
    http::Problem,
    tokens::{
        Client,
        api_keys::{self, RevokedKeys},
        sessions::{self, Selection},
    },
};

/// Revoke a token
///
/// Ends what a token stands for (RFC 7009): an access token or a refresh token ends its session, with all tokens of it; an
/// API key is revoked for good. It is refused from the next request on.
///
/// No credentials are needed: apps hold no secret of their own (public clients), and possession of the token proves as
/// much as a log-out with it. So a person who finds a leaked token or key can make it useless. The response is the same
/// for a token that is not valid, because the client has nothing to do in that case either.
#[utoipa::path(
    tag = "oauth",
    security(()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is not valid, or no longer."),
        (status = 400, description = "`invalid_request`: the form has no token, or a parameter is repeated.",
            body = OAuthErrorBody),
        (status = 429, description = "`too-many-requests`: as for requests without a token.")
    )
)]
#[post("/oauth/revoke")]
pub async fn revoke_token(
    Caller(client): Caller,
    form: Result<TokenForm, OAuthError>,
    auth: Data<Auth>,
) -> Result<HttpResponse, OAuthError> {
    let TokenForm { token, .. } = form?;
    if token.starts_with(api_keys::PREFIX) {
        revoke_key(&token, client, &auth).await?;
    } else if let Some((user, session)) = session_of(&token, &auth)? {
        end_session(user, session, client, &auth).await?;
    }
    Ok(HttpResponse::Ok().finish())
}

/// The session of a token that has not expired. An expired one, found in a log for example, ends nothing.
fn session_of(token: &str, auth: &Auth) -> Result<Option<(UserId, SessionId)>, Problem> {
    if !auth.blocklist.is_current() {
        return Err(Problem::unavailable("the key ring is out of date"));
    }
    if let Some(access) = unless_invalid(auth.jwt.inspect_access(token))? {
        return Ok(Some((access.own.sub, access.own.sid)));
    }
    let refresh = unless_invalid(auth.jwt.inspect_refresh(token))?;
    Ok(refresh.map(|refresh| (refresh.own.sub, refresh.own.sid)))
}

async fn end_session(user: UserId, session: SessionId, client: Client, auth: &Auth) -> Result<(), Problem> {
    let now = auth.now();
    let end = move |conn: &mut PgConnection| -> QueryResult<Ended> {
        let sessions = sessions::end(conn, user, Selection::Only(&[session]))?;
        if sessions.count() > 0 {
            Event::by_stranger(EventKind::SessionEnded, user, &client)
                .in_session(session)
                .detail("by", "token-revocation")
                .record(conn, now)?;
        }
        Ok(Ended { sessions, ..Ended::default() })
    };
    auth.db.query_tx(end).await?.refuse(auth);
    Ok(())
}

async fn revoke_key(key: &str, client: Client, auth: &Auth) -> Result<(), Problem> {
    let Some(digest) = api_keys::digest_of(key) else {
        return Ok(());
    };
    let now = auth.now();
    let revoke = move |conn: &mut PgConnection| -> QueryResult<RevokedKeys> {
        let Some((user, key, revoked)) = api_keys::revoke_found(conn, &digest, now)? else {
            return Ok(RevokedKeys::default());
        };
        Event::by_stranger(EventKind::ApiKeyRevoked, user, &client)
            .detail("key", key.prefix.as_str())
            .detail("by", "token-revocation")
            .record(conn, now)?;
        Ok(revoked)
    };
    let keys = auth.db.query_tx(revoke).await?;
    Ended { keys, ..Ended::default() }.refuse(auth);
    Ok(())
}
