//! What a person shows of a mail: the token of its link, or the code together with the address.

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use validator::ValidationError;

use crate::{
    db::Db,
    http::{Problem, RateLimits, kind},
    tokens::{
        ChallengeKeys,
        challenges::{self, Challenge, Purpose, Whose},
    },
    users::EmailAddress,
};

pub(super) enum Proof {
    Token(String),
    Code { whose: Whose, code: String },
}

impl Proof {
    /// From fields that [`check_proof`] has let pass.
    pub fn new(token: Option<String>, email: Option<&str>, code: Option<String>) -> Self {
        match (token, email.and_then(EmailAddress::parse), code) {
            (Some(token), _, _) => Self::Token(token),
            (None, Some(email), Some(code)) => {
                Self::Code { whose: Whose::Address(email.canonical().to_owned()), code }
            }
            _ => unreachable!("validated"),
        }
    }

    /// What to point at when it is refused.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::Token(_) => "/token",
            Self::Code { .. } => "/code",
        }
    }

    /// As [`Proof::find`], and refuses what was used.
    pub async fn find_unused(
        self,
        purpose: Purpose,
        db: &Db,
        limits: &RateLimits,
        keys: Data<ChallengeKeys>,
        now: DateTime<Utc>,
    ) -> Result<Challenge, Problem> {
        let pointer = self.pointer();
        let found = self.find(purpose, db, limits, keys, now).await?;
        Some(found).filter(|challenge| challenge.consumed_at.is_none()).ok_or_else(|| refused(pointer))
    }

    /// Finds what it proves. A wrong code, an unknown address, a code that expired and one that was
    /// tried too often are answered alike, after the same statements.
    pub async fn find(
        self,
        purpose: Purpose,
        db: &Db,
        limits: &RateLimits,
        keys: Data<ChallengeKeys>,
        now: DateTime<Utc>,
    ) -> Result<Challenge, Problem> {
        let pointer = self.pointer();
        let found = match self {
            Self::Token(token) => {
                let find = move |conn: &mut _| {
                    Ok::<_, Problem>(challenges::find_by_token(conn, purpose, &token, now)?)
                };
                db.run(find).await?
            }
            Self::Code { whose, code } => {
                limits.check(super::CODE_TRIES, (purpose.as_str(), &whose))?;
                let try_it = move |conn: &mut _| {
                    Ok::<_, Problem>(challenges::try_code(conn, &keys, purpose, whose, &code, now)?)
                };
                db.run(try_it).await?
            }
        };
        found.ok_or_else(|| refused(pointer))
    }
}

/// The one answer to every token and code that is not good.
pub(super) fn refused(pointer: &str) -> Problem {
    Problem::new(&kind::INVALID_CODE).field(pointer, "invalid", "is wrong, expired or used up")
}

/// For validator: either `token`, or `email` and `code`.
pub(super) fn check_proof(token: bool, email: bool, code: bool) -> Result<(), ValidationError> {
    if matches!((token, email, code), (true, false, false) | (false, true, true)) {
        return Ok(());
    }
    let mut error = ValidationError::new("token-or-code")
        .with_message("give either `token`, or `email` and `code`".into());
    error.add_param("field".into(), &"token");
    Err(error)
}

/// For validator: six digits.
pub(super) fn check_code(code: &str) -> Result<(), ValidationError> {
    if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(ValidationError::new("code").with_message("must be six digits".into()))
}
