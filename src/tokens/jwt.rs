//! Issues and verifies JSON Web Tokens (RFC 7519) by the rules of RFC 8725 and RFC 9068.
//!
//! jsonwebtoken checks the signature, the algorithm, `iss` and `aud`. It does not check the rest of the header and takes no
//! clock, so those checks are here.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use super::{
    claims::{AccessToken, RefreshClaims},
    key::{Key, Pair},
    keys::{KeyRing, Ring},
    verified::{VerifiedToken, VerifiedTokens},
};
use crate::{
    clock::Clock,
    config,
    http::{Problem, kind},
};

/// How long after its expiry a token is still accepted.
pub(super) const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// How far ahead a server's clock may have been when it issued a token or wrote a time.
pub(super) const SKEW: TimeDelta = TimeDelta::minutes(1);
/// In bytes; our own tokens have about 500.
const MAX_LENGTH: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TokenKind {
    Access,
    Refresh,
}

impl TokenKind {
    /// The `typ` header; RFC 9068 section 2.1 for access tokens.
    fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }

    /// The algorithm of this kind of token with this key. It comes from the key, never from the token (RFC 8725 section
    /// 3.1).
    fn algorithm(self, key: &Key) -> Algorithm {
        match self {
            Self::Access => key.algorithm,
            Self::Refresh => Algorithm::HS256,
        }
    }

    /// The whole header of such a token.
    fn header(self, kid: &str, key: &Key) -> Header {
        let (typ, kid) = (Some(self.typ().to_owned()), Some(kid.to_owned()));
        Header { typ, kid, ..Header::new(self.algorithm(key)) }
    }

    fn pair(self, key: &Key) -> &Pair {
        match self {
            Self::Access => &key.access,
            Self::Refresh => &key.refresh,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Claims<T> {
    iss: String,
    aud: String,
    kind: TokenKind,
    iat: i64,
    exp: i64,
    /// Whether there is one. No token of ours has it, so none is checked.
    #[serde(default, skip_serializing, deserialize_with = "is_there")]
    nbf: bool,
    #[serde(flatten)]
    own: T,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The claims of a token, and when it was issued and expires, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    pub own: T,
    pub issued_at: i64,
    pub expires_at: i64,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    Invalid,
    Expired,
    /// Its time of issue is in the future: a clock is or was wrong.
    FromTheFuture,
    /// It names a key that this server cannot decrypt.
    Unverifiable,
    Revoked,
}

/// Issues and verifies both kinds of tokens.
pub struct Jwt {
    keys: Arc<KeyRing>,
    clock: Clock,
    issuer: String,
    audience: String,
    validation: Validation,
    verified: VerifiedTokens,
}

impl Jwt {
    pub fn new(keys: Arc<KeyRing>, clock: Clock, issuer: &str, settings: &config::Tokens) -> Self {
        // The algorithm is set for each token, from its key.
        let mut validation = Validation::default();
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below against our own clock.
        validation.validate_exp = false;
        Self {
            keys,
            clock,
            issuer: issuer.to_owned(),
            audience: settings.audience.clone(),
            validation,
            verified: VerifiedTokens::default(),
        }
    }

    pub fn issue_access(
        &self,
        token: AccessToken,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Problem> {
        self.sign(TokenKind::Access, token, issued_at, expires_at)
    }

    /// Issues a refresh token. The same claims and times give the same token, because HMAC is deterministic.
    pub fn issue_refresh(
        &self,
        claims: RefreshClaims,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Problem> {
        self.sign(TokenKind::Refresh, claims, issued_at, expires_at)
    }

    /// Verifies an access token. Whether its session has ended is checked by the caller.
    pub fn verify_access(&self, token: &str) -> Result<AccessToken, Refusal> {
        let ring = self.keys.current().version;
        let key = self.verified.key(token);
        if let Some(known) = self.verified.get(key).filter(|known| known.ring == ring) {
            self.check_times(known.issued_at, known.expires_at)?;
            return Ok(known.token);
        }
        let Claims { own, iat, exp, .. } = self.verify::<AccessToken>(token, TokenKind::Access)?;
        self.check_times(iat, exp)?;
        let verified = VerifiedToken { token: own.clone(), issued_at: iat, expires_at: exp, ring };
        self.verified.insert(key, verified);
        Ok(own)
    }

    /// Returns how many access tokens were accepted with a remembered signature, and how many with a checked one.
    pub fn access_tokens(&self) -> (u64, u64) {
        self.verified.counts()
    }

    /// Like [`Jwt::verify_access`], but also accepts an expired token, for logging out. Returns with the token whether
    /// its times are valid.
    pub fn verify_expired_access(&self, token: &str) -> Result<(AccessToken, Result<(), Refusal>), Refusal> {
        let claims = self.verify::<AccessToken>(token, TokenKind::Access)?;
        Ok((claims.own, self.check_times(claims.iat, claims.exp)))
    }

    /// Verifies a refresh token and returns its claims and when it expires. The expiry is not checked here, but by the
    /// statement that exchanges the token.
    pub fn verify_refresh(&self, token: &str) -> Result<(RefreshClaims, DateTime<Utc>), Refusal> {
        let Claims { own, exp, .. } = self.verify(token, TokenKind::Refresh)?;
        Ok((own, DateTime::from_timestamp(exp, 0).ok_or(Refusal::Invalid)?))
    }

    /// Verifies an access token that a gateway asks about. Unlike [`Jwt::verify_access`], without leeway.
    pub fn inspect_access(&self, token: &str) -> Result<Timed<AccessToken>, Refusal> {
        self.inspect(token, TokenKind::Access)
    }

    /// As [`Jwt::inspect_access`], for a refresh token.
    pub fn inspect_refresh(&self, token: &str) -> Result<Timed<RefreshClaims>, Refusal> {
        self.inspect(token, TokenKind::Refresh)
    }

    fn inspect<T: for<'de> Deserialize<'de>>(
        &self,
        token: &str,
        kind: TokenKind,
    ) -> Result<Timed<T>, Refusal> {
        let Claims { own, iat, exp, .. } = self.verify(token, kind)?;
        self.check_times(iat, exp)?;
        if exp <= self.clock.now().timestamp() {
            return Err(Refusal::Expired);
        }
        Ok(Timed { own, issued_at: iat, expires_at: exp })
    }

    /// The `iss` of tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The `aud` of tokens.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    fn sign<T: Serialize>(
        &self,
        kind: TokenKind,
        own: T,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Problem> {
        let ring = self.keys.current();
        let (kid, key) =
            ring.signing().ok_or_else(|| Problem::unavailable("no signing key can be decrypted"))?;
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            kind,
            iat: issued_at.timestamp(),
            exp: expires_at.timestamp(),
            nbf: false,
            own,
        };
        jsonwebtoken::encode(&kind.header(kid, key), &claims, &kind.pair(key).signing)
            .map_err(Problem::internal)
    }

    fn verify<T: for<'de> Deserialize<'de>>(
        &self,
        token: &str,
        kind: TokenKind,
    ) -> Result<Claims<T>, Refusal> {
        if token.len() > MAX_LENGTH {
            return Err(Refusal::Invalid);
        }
        let ring = self.keys.current();
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Invalid)?;
        if header.kid.as_ref().is_some_and(|kid| ring.sealed.contains(kid)) {
            return Err(Refusal::Unverifiable);
        }
        let key = check_header(&header, kind, &ring).ok_or(Refusal::Invalid)?;
        let mut validation = self.validation.clone();
        validation.algorithms = vec![kind.algorithm(key)];
        let claims: Claims<T> = jsonwebtoken::decode(token, &kind.pair(key).verifying, &validation)
            .map_err(|_| Refusal::Invalid)?
            .claims;
        if claims.kind != kind || claims.nbf {
            return Err(Refusal::Invalid);
        }
        Ok(claims)
    }

    fn check_times(&self, issued_at: i64, expires_at: i64) -> Result<(), Refusal> {
        let now = self.clock.now().timestamp();
        if issued_at > now.saturating_add(SKEW.num_seconds()) {
            return Err(Refusal::FromTheFuture);
        }
        if expires_at.saturating_add(LEEWAY.num_seconds()) <= now {
            return Err(Refusal::Expired);
        }
        Ok(())
    }
}

/// Returns the key to verify with, or None if the header is not the one that we give such a token: it names another type or
/// algorithm, brings a key, or has an extension.
fn check_header<'a>(header: &Header, kind: TokenKind, ring: &'a Ring) -> Option<&'a Key> {
    let kid = header.kid.as_deref()?;
    let key = ring.keys.get(kid)?;
    (*header == kind.header(kid, key)).then_some(&**key)
}

/// A 401 with the challenge of RFC 6750 section 3, without `error` if there were no credentials. A 503 if a clock is
/// wrong or a key cannot be decrypted, because clients would discard a token that is called invalid.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Missing => return Self::new(&kind::MISSING_TOKEN).challenge(false),
            Refusal::Invalid => &kind::INVALID_TOKEN,
            Refusal::Expired => &kind::TOKEN_EXPIRED,
            Refusal::FromTheFuture => {
                return Self::unavailable("a clock was wrong when the token was issued");
            }
            Refusal::Unverifiable => {
                return Self::unavailable("SECRET_KEY does not decrypt some of the signing keys");
            }
            Refusal::Revoked => &kind::TOKEN_REVOKED,
        };
        Self::new(kind).challenge(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{
        super::{keys::fake, role::Role},
        *,
    };
    use crate::{
        config::{Config, SigningAlgorithm, Specs},
        db::{SessionId, UserId},
    };

    #[derive(Clone, Debug)]
    enum Step {
        Issue {
            lifetime: i64,
            from_now: i64,
        },
        /// An earlier token, unchanged or with one byte changed.
        Verify {
            token: prop::sample::Index,
            change: Option<prop::sample::Index>,
        },
        Wait(u64),
        /// Signs with another key, of this algorithm. The old ones still verify, or are removed.
        Rotate {
            algorithm: SigningAlgorithm,
            forget: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (1i64..30, -20i64..70).prop_map(|(lifetime, from_now)| Step::Issue { lifetime, from_now }),
            6 => (any::<prop::sample::Index>(), prop::option::weighted(0.2, any::<prop::sample::Index>()))
                .prop_map(|(token, change)| Step::Verify { token, change }),
            2 => (0u64..12).prop_map(Step::Wait),
            // Keys for RS256 take too long to generate.
            1 => (any::<bool>(), any::<bool>()).prop_map(|(forget, ed)| Step::Rotate {
                algorithm: if ed { SigningAlgorithm::EdDsa } else { SigningAlgorithm::Es256 },
                forget,
            }),
        ]
    }

    proptest! {
        /// After any sequence of steps, a server that remembers tokens answers like one that does not.
        #[test]
        fn a_remembered_token_is_accepted_only_if_a_fresh_check_accepts_it(
            steps in prop::collection::vec(step(), 1..60)
        ) {
            let settings = Config::from_lookup(&|_| None, &Specs::default()).expect("defaults").tokens;
            let clock = Clock::default();
            let mut keys = vec![fake::pair(SigningAlgorithm::EdDsa)];
            let ring = Arc::new(fake::key_ring(&keys));
            let server = || Jwt::new(ring.clone(), clock.clone(), "http://mintage.test", &settings);
            let remembering = server();
            let mut tokens = Vec::new();
            for step in steps {
                match step {
                    Step::Issue { lifetime, from_now } => {
                        let (sub, sid, jti) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
                        let token = AccessToken { sub: UserId(sub), sid: SessionId(sid), jti, role: Role::User, generation: 0 };
                        let from = clock.now() + TimeDelta::seconds(from_now);
                        let until = from + TimeDelta::seconds(lifetime);
                        tokens.push(remembering.issue_access(token, from, until).expect("signed"));
                    }
                    Step::Verify { token, change } if !tokens.is_empty() => {
                        let mut token = token.get(&tokens).clone().into_bytes();
                        if let Some(index) = change {
                            *index.get_mut(&mut token) = b'A';
                        }
                        let token = String::from_utf8(token).expect("ASCII");
                        let (remembered, fresh) = loop {
                            let begin = clock.now().timestamp();
                            let answer = |jwt: &Jwt| jwt.verify_access(&token).map(|token| token.jti);
                            let answers = (answer(&remembering), answer(&server()));
                            // Tokens expire by the second: the answers compare only within the same one.
                            if clock.now().timestamp() == begin {
                                break answers;
                            }
                        };
                        prop_assert_eq!(remembered, fresh);
                    }
                    Step::Verify { .. } => {}
                    Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
                    Step::Rotate { algorithm, forget } => {
                        if forget {
                            keys.clear();
                        }
                        keys.insert(0, fake::pair(algorithm));
                        ring.replace(fake::ring(&keys));
                    }
                }
            }
        }
    }
}
