//! Extractors that protect an endpoint: a handler that takes one refuses all other callers.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};

use super::{
    activity::Activity,
    blocklist::{Blocklist, SessionStatus},
    claims::AccessToken,
    credentials::access_token,
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
        ready(current_user(req, Counting::All))
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(current_user(req, Counting::All).and_then(|user| match user.role {
            Role::Admin => Ok(Self(user)),
            Role::User => Err(Problem::new(&kind::FORBIDDEN).detail("this needs the role `admin`")),
        }))
    }
}

impl FromRequest for PossiblyExpired {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let verified = access_token(req)
            .and_then(|token| data::<Jwt>(req).verify_expired_access(token).map_err(Problem::from));
        let expired = |(token, unexpired): (AccessToken, _)| {
            db::charge_to(&token.sub);
            Self { user: token.into(), unexpired }
        };
        ready(verified.map(expired))
    }
}

/// What a request counts against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counting {
    /// The limit of the user, or the quota of the API key.
    All,
    /// The quota of the API key, if there is one.
    Keys,
    Nothing,
}

fn current_user(req: &HttpRequest, counting: Counting) -> Result<CurrentUser, Problem> {
    verify(req, access_token(req)?, counting)
}

/// Verifies an access token.
pub(super) fn verify(req: &HttpRequest, token: &str, counting: Counting) -> Result<CurrentUser, Problem> {
    let token = data::<Jwt>(req).verify_access(token)?;
    match data::<Blocklist>(req).status(token.sid) {
        SessionStatus::Live => {}
        SessionStatus::Ended => return Err(Refusal::Revoked.into()),
        SessionStatus::Unknown => return Err(Problem::unavailable("the blocklist is out of date")),
    }
    let now = data::<Clock>(req).now();
    data::<Activity>(req).note(token.sid, token.generation, now);
    db::charge_to(&token.sub);
    if matches!(counting, Counting::All) {
        data::<Limits>(req).requests.check(PER_USER, token.sub)?;
    }
    Ok(token.into())
}

pub(super) fn data<T: 'static>(req: &HttpRequest) -> &T {
    req.app_data::<Data<T>>().expect("set by the app")
}
