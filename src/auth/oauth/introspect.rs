//! Answers `POST /oauth/introspect` (RFC 7662): tells a program that has to decide about a request what its token is.

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, post, web::Data};
use futures_util::{FutureExt, future::LocalBoxFuture};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    error::{OAuthError, OAuthErrorBody},
    form::TokenForm,
};
use crate::{
    auth::Auth,
    db::{SessionId, UserId},
    http::Problem,
    tokens::{
        self, AccessToken, Machine, RefreshClaims, Refusal, Role, SessionStatus, Timed,
        api_keys::{self, Scopes, VerifiedKey},
        sessions,
    },
};

/// What a token is. Only `active` if it is not valid.
#[derive(Default, Serialize, ToSchema)]
pub struct Introspection {
    /// Whether the token is valid now.
    #[schema(example = true)]
    active: bool,
    /// `access`, `refresh` or `api-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "access")]
    kind: Option<&'static str>,
    /// How the token is sent. Missing for refresh tokens, which no other service accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "Bearer")]
    token_type: Option<&'static str>,
    /// What the token allows, separated by spaces. Missing for refresh tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "coins:read profile:read")]
    scope: Option<String>,
    /// The id of the API key. Missing for tokens of people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    client_id: Option<Uuid>,
    /// The id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    sub: Option<UserId>,
    /// The role of the user. Only for access tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "user")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "http://127.0.0.1:8080")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "mintage")]
    aud: Option<String>,
    /// When the token was issued, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, example = 1_795_294_327)]
    iat: Option<i64>,
    /// When the token expires, in seconds since 1970. Missing for API keys that do not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, example = 1_795_294_927)]
    exp: Option<i64>,
    /// The id of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    jti: Option<Uuid>,
    /// The id of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    sid: Option<SessionId>,
}

/// Introspect a token
///
/// Returns whether a token is valid now, and what it allows (RFC 7662), for gateways and services that do not verify tokens
/// by themselves or must notice a log-out at once. Send an API key with the scope `tokens:introspect`, which only admins
/// can create: as the secret of HTTP Basic with the id or the first 8 characters of the key as `client_id`, as bearer token
/// or as `X-Api-Key`.
///
/// The response to everything that is not valid is `{"active": false}`, without a reason. A refresh token is active only
/// with `token_type_hint=refresh_token`, because most gateways look at `active` alone, and would accept one as an access
/// token otherwise. Do not cache the response for longer than you would accept a token after its log-out.
#[utoipa::path(
    tag = "oauth",
    security(("basic" = []), ("bearer" = []), ("apiKey" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What the token is.", body = Introspection),
        (status = 400, description = "`invalid_request`: the form has no token, or a parameter is repeated.",
            body = OAuthErrorBody),
        (status = 401, description = "`invalid_client`: the credentials are missing or wrong.", body = OAuthErrorBody),
        (status = 403, description = "`insufficient_scope`: the key lacks the scope, or it is an access token.",
            body = OAuthErrorBody)
    )
)]
#[post("/oauth/introspect")]
pub async fn introspect_token(
    req: HttpRequest,
    _: OAuthMachine,
    form: TokenForm,
    auth: Data<Auth>,
) -> Result<HttpResponse, OAuthError> {
    let TokenForm { token, token_type_hint } = form;
    let introspection = if token.starts_with(api_keys::PREFIX) {
        of_key(&req, &token, &auth).await?
    } else {
        let is_refresh = token_type_hint.is_some_and(|hint| hint == "refresh_token");
        match of_access_token(&token, &auth)? {
            None if is_refresh => of_refresh_token(&token, &auth).await?,
            other => other,
        }
    };
    Ok(HttpResponse::Ok().json(introspection.unwrap_or_default()))
}

/// A [`Machine`], or an error in the form of OAuth. As an extractor it refuses a request before the body is read.
pub struct OAuthMachine(());

impl FromRequest for OAuthMachine {
    type Error = OAuthError;
    type Future = LocalBoxFuture<'static, Result<Self, OAuthError>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let machine = Machine::from_request(req, payload);
        machine.map(|found| found.map(|_| Self(())).map_err(OAuthError::of_client)).boxed_local()
    }
}

async fn of_key(req: &HttpRequest, key: &str, auth: &Auth) -> Result<Option<Introspection>, Problem> {
    let found = tokens::look_up_key(req, key).await?;
    let Some(VerifiedKey { id, user, scopes, created_at, expires_at, .. }) = found else {
        return Ok(None);
    };
    if expires_at.is_some_and(|at| at <= auth.now()) {
        return Ok(None);
    }
    Ok(Some(Introspection {
        active: true,
        kind: Some("api-key"),
        token_type: Some("Bearer"),
        scope: Some(scopes.to_text()),
        client_id: Some(id.0),
        sub: Some(user),
        iss: Some(auth.jwt.issuer().to_owned()),
        aud: Some(auth.jwt.audience().to_owned()),
        iat: Some(created_at.timestamp()),
        exp: expires_at.map(|at| at.timestamp()),
        jti: Some(id.0),
        ..Introspection::default()
    }))
}

fn of_access_token(token: &str, auth: &Auth) -> Result<Option<Introspection>, Problem> {
    let Some(Timed { own, issued_at, expires_at }) = unless_invalid(auth.jwt.inspect_access(token))? else {
        return Ok(None);
    };
    let AccessToken { sub, sid, jti, role, .. } = own;
    match auth.blocklist.status(sid) {
        SessionStatus::Live => {}
        SessionStatus::Ended => return Ok(None),
        SessionStatus::Unknown => return Err(Problem::unavailable("the blocklist is out of date")),
    }
    Ok(Some(Introspection {
        kind: Some("access"),
        token_type: Some("Bearer"),
        scope: Some(Scopes::of_access_tokens().to_text()),
        role: Some(role),
        ..of_session(auth, sub, sid, jti, (issued_at, expires_at))
    }))
}

/// Only the newest refresh token of a session is valid.
async fn of_refresh_token(token: &str, auth: &Auth) -> Result<Option<Introspection>, Problem> {
    if !auth.blocklist.is_current() {
        return Err(Problem::unavailable("the key ring is out of date"));
    }
    let Some(Timed { own, issued_at, expires_at }) = unless_invalid(auth.jwt.inspect_refresh(token))? else {
        return Ok(None);
    };
    let (claims, now) = (own.clone(), auth.now());
    if !auth.db.query(move |conn| sessions::is_newest(conn, &claims, now)).await? {
        return Ok(None);
    }
    let RefreshClaims { sub, sid, jti, .. } = own;
    let introspection = of_session(auth, sub, sid, jti, (issued_at, expires_at));
    Ok(Some(Introspection { kind: Some("refresh"), ..introspection }))
}

fn of_session(auth: &Auth, sub: UserId, sid: SessionId, jti: Uuid, (iat, exp): (i64, i64)) -> Introspection {
    Introspection {
        active: true,
        sub: Some(sub),
        sid: Some(sid),
        jti: Some(jti),
        iss: Some(auth.jwt.issuer().to_owned()),
        aud: Some(auth.jwt.audience().to_owned()),
        iat: Some(iat),
        exp: Some(exp),
        ..Introspection::default()
    }
}

/// None for a token that is not valid; a 503 if that is not known.
pub(super) fn unless_invalid<T>(verified: Result<T, Refusal>) -> Result<Option<T>, Problem> {
    match verified {
        Ok(token) => Ok(Some(token)),
        Err(unknown @ (Refusal::FromTheFuture | Refusal::Unverifiable)) => Err(unknown.into()),
        Err(_) => Ok(None),
    }
}
