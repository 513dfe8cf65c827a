//! Extractors that protect an endpoint: a handler that takes one refuses all other callers.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};
use futures_util::{FutureExt, future::LocalBoxFuture};

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
    limits::Limits,
};

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
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        async move { current_user(&req).await }.boxed_local()
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        let admin = async move {
            let user = current_user(&req).await?;
            match user.role {
                Role::Admin => Ok(Self(user)),
                Role::User => Err(Problem::new(&kind::FORBIDDEN).detail("this needs the role `admin`")),
            }
        };
        admin.boxed_local()
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

async fn current_user(req: &HttpRequest) -> Result<CurrentUser, Problem> {
    let user = verify(req, access_token(req)?)?;
    count(req, &user).await?;
    Ok(user)
}

/// Counts a request against the limit of its user.
pub(super) async fn count(req: &HttpRequest, user: &CurrentUser) -> Result<(), Problem> {
    let limits = data::<Limits>(req);
    limits.requests.count(req, limits.rates.user, user.id.0.as_u128()).await
}

/// Verifies an access token.
pub(super) fn verify(req: &HttpRequest, token: &str) -> Result<CurrentUser, Problem> {
    let token = data::<Jwt>(req).verify_access(token)?;
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

pub(super) fn data<T: 'static>(req: &HttpRequest) -> &T {
    req.app_data::<Data<T>>().expect("set by the app")
}
