//! Extractors that protect an endpoint: a handler that takes one refuses all other callers.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web::Data};

use super::{
    activity::Activity,
    blocklist::{Blocklist, SessionStatus},
    claims::AccessToken,
    jwt::{Jwt, Refusal},
    role::Role,
};
use crate::{
    clock::Clock,
    db::{self, SessionId, UserId},
    http::{Problem, kind},
    limits::{Limits, RateLimit},
};

/// Requests of one user to one server, over all sessions: 300 at once, then 10 a second.
const PER_USER: RateLimit =
    RateLimit { name: "requests of a user", burst: 300, every: Duration::from_millis(100) };

/// The user of a valid access token whose session has not ended. The check makes no query.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    pub id: UserId,
    pub session: SessionId,
    pub role: Role,
}

/// A [`CurrentUser`] with the role `admin`; other users get a 403.
#[derive(Clone, Debug)]
pub struct Admin(pub CurrentUser);

/// A [`CurrentUser`] whose request does not count against the user's limit: for responses from memory, which cost
/// hardly more than counting.
#[derive(Clone, Debug)]
pub struct Uncounted(pub CurrentUser);

/// The user of an access token of this server that may have expired or been revoked: for logging out.
#[derive(Clone, Debug)]
pub struct PossiblyExpired {
    pub user: CurrentUser,
    /// An error if the token has expired.
    pub unexpired: Result<(), Refusal>,
}

impl From<AccessToken> for CurrentUser {
    fn from(token: AccessToken) -> Self {
        Self { id: token.sub, session: token.sid, role: token.role }
    }
}

impl FromRequest for CurrentUser {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(counted(req))
    }
}

impl FromRequest for Uncounted {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(current_user(req).map(Self))
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(counted(req).and_then(|user| match user.role {
            Role::Admin => Ok(Self(user)),
            Role::User => Err(Problem::new(&kind::FORBIDDEN).detail("this needs the role `admin`")),
        }))
    }
}

impl FromRequest for PossiblyExpired {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let verified = bearer(req).and_then(|token| data::<Jwt>(req).verify_expired_access(token));
        let expired = |(token, unexpired): (AccessToken, _)| {
            db::charge_to(&token.sub);
            Self { user: token.into(), unexpired }
        };
        ready(verified.map(expired).map_err(Problem::from))
    }
}

fn counted(req: &HttpRequest) -> Result<CurrentUser, Problem> {
    let user = current_user(req)?;
    data::<Limits>(req).requests.check(PER_USER, user.id)?;
    Ok(user)
}

fn current_user(req: &HttpRequest) -> Result<CurrentUser, Problem> {
    let token = bearer(req).and_then(|token| data::<Jwt>(req).verify_access(token))?;
    match data::<Blocklist>(req).status(token.sid) {
        SessionStatus::Live => {}
        SessionStatus::Ended => return Err(Refusal::Revoked.into()),
        SessionStatus::Unknown => return Err(Problem::unavailable("the blocklist is out of date")),
    }
    let now = data::<Clock>(req).now();
    data::<Activity>(req).note(token.sid, token.generation, now);
    db::charge_to(&token.sub);
    Ok(token.into())
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1); the scheme is
/// case-insensitive (RFC 9110 section 11.1). Two such headers are no credentials.
fn bearer(req: &HttpRequest) -> Result<&str, Refusal> {
    let mut values = req.headers().get_all(header::AUTHORIZATION);
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Invalid);
    }
    let text = value.to_str().map_err(|_| Refusal::Invalid)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Refusal::Missing),
    }
}

fn data<T: 'static>(req: &HttpRequest) -> &T {
    req.app_data::<Data<T>>().expect("set by the app")
}
