//! Extractors of endpoints that accept an API key as well as an access token.
//!
//! The scope that a key needs stands in the signature of the handler: `me: Allowed<CoinsRead>`. An access token has all
//! scopes. An endpoint that takes [`CurrentUser`] or [`Admin`](super::Admin) refuses keys.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    time::Duration,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use futures_util::{
    FutureExt,
    future::{Either, LocalBoxFuture, Map},
};

use super::{
    api_keys::{self, ApiKeys, Digest, Permission, Scope, Scopes, VerifiedKey},
    blocklist::Blocklist,
    client::Client,
    credentials::{Credentials, credentials, insufficient_scope, invalid_key, machine_credentials},
    current_user::{self, Counting, CurrentUser, data, verify},
};
use crate::{
    clock::Clock,
    db::{self, Db, UserId},
    http::{Problem, Quota},
    limits::{Limits, RateLimit},
};

/// All keys of a user together have this many times the quota of one, so that 20 keys are not 20 quotas.
const QUOTAS_OF_A_USER: u32 = 2;

/// The user of an access token, or of an API key with the scope `P`.
#[derive(Clone, Debug)]
pub struct Allowed<P> {
    pub id: UserId,
    /// None for an access token, which has all scopes.
    scopes: Option<Scopes>,
    permission: PhantomData<P>,
}

/// An [`Allowed`] whose request does not count against the user's limit: for responses from memory, which cost hardly
/// more than counting. A request with a key always counts against the quota of the key.
#[derive(Clone, Debug)]
pub struct AllowedUncounted<P>(pub Allowed<P>);

impl<P: Permission> Allowed<P> {
    fn new(caller: Caller) -> Self {
        Self { id: caller.user, scopes: caller.scopes, permission: PhantomData }
    }

    /// Requires another scope for a part of what the endpoint can do.
    ///
    /// # Errors
    /// `insufficient-scope`.
    pub fn require<Q: Permission>(&self) -> Result<(), Problem> {
        check(self.scopes, Q::SCOPE)
    }
}

/// Whether a request whose response is a stream is still allowed. Counts nothing.
pub async fn is_still_allowed<P: Permission>(req: &HttpRequest) -> bool {
    admit(req, P::SCOPE, Counting::Nothing).await.is_ok()
}

/// The verified sender of a request.
pub struct Caller {
    user: UserId,
    scopes: Option<Scopes>,
}

/// Ready if nothing has to be counted or read from the database.
pub type Admission<T> = Either<Ready<Result<T, Problem>>, LocalBoxFuture<'static, Result<T, Problem>>>;
/// What an extractor makes of the caller.
pub type Finish<T> = fn(Result<Caller, Problem>) -> Result<T, Problem>;

impl<P: Permission> FromRequest for Allowed<P> {
    type Error = Problem;
    type Future = Map<Admission<Caller>, Finish<Self>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        admit(req, P::SCOPE, Counting::All).map(|caller| caller.map(Self::new))
    }
}

impl<P: Permission> FromRequest for AllowedUncounted<P> {
    type Error = Problem;
    type Future = Map<Admission<Caller>, Finish<Self>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        admit(req, P::SCOPE, Counting::Keys).map(|caller| caller.map(|caller| Self(Allowed::new(caller))))
    }
}

fn admit(req: &HttpRequest, scope: Scope, counting: Counting) -> Admission<Caller> {
    let digest = match credentials(req) {
        Ok(Credentials::Key(digest)) => digest,
        Ok(Credentials::Token(token)) => {
            let verified = verify(req, token);
            let caller = |user: &CurrentUser| Caller { user: user.id, scopes: None };
            return match (verified, counting) {
                (Ok(user), Counting::All) => {
                    let req = req.clone();
                    let count = async move { current_user::count(&req, &user).await.map(|()| caller(&user)) };
                    Either::Right(count.boxed_local())
                }
                (verified, _) => Either::Left(ready(verified.map(|user| caller(&user)))),
            };
        }
        Err(problem) => return Either::Left(ready(Err(problem))),
    };
    let req = req.clone();
    let accepted = async move { accept(&req, verify_key(&req, digest).await?, scope, counting).await };
    Either::Right(accepted.boxed_local())
}

/// Returns the key with this hash, which may have expired.
async fn verify_key(req: &HttpRequest, digest: Digest) -> Result<VerifiedKey, Problem> {
    let before = match from_memory(req, &digest)? {
        Ok(key) => return Ok(key),
        Err(before) => before,
    };
    let Client { address, .. } = Client::extract(req).await?;
    let limits = data::<Limits>(req);
    // Unknown keys are not remembered, so each one is read from the database.
    limits.requests.count_address(req, limits.rates.unknown_api_keys, address).await?;
    db::charge_to(&address);
    let found = read(req, digest, before).await?;
    found.ok_or_else(|| invalid_key("there is no such key, or it was revoked"))
}

/// Returns a key that was verified lately, or what [`read`] needs.
fn from_memory(req: &HttpRequest, digest: &Digest) -> Result<Result<VerifiedKey, api_keys::Before>, Problem> {
    if data::<Blocklist>(req).is_current() {
        Ok(data::<ApiKeys>(req).get(digest))
    } else {
        Err(Problem::unavailable("revoked API keys are not known"))
    }
}

async fn read(
    req: &HttpRequest,
    digest: Digest,
    before: api_keys::Before,
) -> Result<Option<VerifiedKey>, Problem> {
    let found = data::<Db>(req).query(move |conn| api_keys::find(conn, &digest)).await?;
    if let Some(key) = found {
        data::<ApiKeys>(req).insert(&digest, key, before);
    }
    Ok(found)
}

/// Finds a key that a request is about, not one that it is sent with: nothing is counted. It may have expired.
pub async fn look_up_key(req: &HttpRequest, key: &str) -> Result<Option<VerifiedKey>, Problem> {
    let Some(digest) = api_keys::digest_of(key) else {
        return Ok(None);
    };
    match from_memory(req, &digest)? {
        Ok(key) => Ok(Some(key)),
        Err(before) => read(req, digest, before).await,
    }
}

/// A program that asks about tokens, with an API key that has the scope `tokens:introspect`. Unlike [`Allowed`] it accepts
/// no access token, and also HTTP Basic, which most gateways speak.
#[derive(Clone, Copy, Debug)]
pub struct Machine(());

impl FromRequest for Machine {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let (digest, id) = machine_credentials(&req)?;
            let key = verify_key(&req, digest).await?;
            if id.is_some_and(|id| id != key.id.0) {
                return Err(invalid_key("the client id is that of another key"));
            }
            accept(&req, key, Scope::TokensIntrospect, Counting::All).await?;
            Ok(Self(()))
        })
    }
}

async fn accept(
    req: &HttpRequest,
    key: VerifiedKey,
    scope: Scope,
    counting: Counting,
) -> Result<Caller, Problem> {
    let now = data::<Clock>(req).now();
    if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(invalid_key("the key has expired"));
    }
    db::charge_to(&key.user);
    if !matches!(counting, Counting::Nothing) {
        let keys = data::<ApiKeys>(req);
        count(req, keys.rate, &key).await?;
        keys.uses.note(key.id, now);
    }
    check(Some(key.scopes), scope)?;
    Ok(Caller { user: key.user, scopes: Some(key.scopes) })
}

/// Counts a request against the quota of this key and that of all keys of its user. The response states the former, unless
/// the latter is used up.
async fn count(req: &HttpRequest, rate: u32, key: &VerifiedKey) -> Result<(), Problem> {
    let requests = &data::<Limits>(req).requests;
    let a_minute = |name, burst: u32| RateLimit { name, burst, every: Duration::from_mins(1) / burst };
    requests.count(req, a_minute("api-key", rate), key.id.0.as_u128()).await?;
    let of_key = req.extensions().get::<Quota>().copied();
    let of_user = a_minute("api-keys-of-user", rate.saturating_mul(QUOTAS_OF_A_USER));
    requests.count(req, of_user, key.user.0.as_u128()).await?;
    if let Some(of_key) = of_key {
        req.extensions_mut().insert(of_key);
    }
    Ok(())
}

fn check(scopes: Option<Scopes>, needed: Scope) -> Result<(), Problem> {
    if scopes.is_none_or(|scopes| scopes.contains(needed)) {
        Ok(())
    } else {
        Err(insufficient_scope(Some(needed)))
    }
}
