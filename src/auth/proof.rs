//! Checks what a person proves by mail: the token of a link, or a code together with the address.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    Auth,
    challenges::{self, Attempt, Challenge, CodeForm, Owner, Purpose},
};
use crate::{
    db::{self, UserId},
    http::{Network, Problem, kind},
    users::{self, Account, EmailAddress},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "c7iH9dwFrOmMwKWrVCSCUsTw3QpSGpYQoaVmyAkrA2A"}))]
pub struct MailedToken {
    /// From the link in the mail; at most 128 characters.
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    pub token: String,
}

pub(super) enum Proof {
    Token(String),
    Code { owner: Owner, code: String },
}

impl Proof {
    /// Takes fields that have passed [`check_proof`].
    pub fn new(token: Option<String>, email: Option<&str>, code: Option<String>) -> Self {
        match (token, email.and_then(EmailAddress::parse), code) {
            (Some(token), _, _) => Self::Token(token),
            (None, Some(email), Some(code)) => Self::Code { owner: Owner::Address(email), code },
            _ => unreachable!("validated"),
        }
    }

    /// The JSON pointer of the field to name if the proof is refused.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::Token(_) => "/token",
            Self::Code { .. } => "/code",
        }
    }

    /// Like [`Proof::find`], but refuses a used challenge.
    pub async fn find_unused(
        self,
        purpose: Purpose,
        auth: &Auth,
        network: Network,
    ) -> Result<Challenge, Problem> {
        let pointer = self.pointer();
        let found = self.find(purpose, auth, network).await?;
        Some(found).filter(|challenge| challenge.consumed_at.is_none()).ok_or_else(|| refused(pointer))
    }

    /// Finds the challenge that this proves. A wrong code, an unknown address, an expired code and a code with too many
    /// attempts get the same answer after the same statements.
    pub async fn find(self, purpose: Purpose, auth: &Auth, network: Network) -> Result<Challenge, Problem> {
        let pointer = self.pointer();
        let now = auth.now();
        let found = match self {
            Self::Token(token) => {
                auth.db.query(move |conn| challenges::find_by_token(conn, purpose, &token, now)).await?
            }
            Self::Code { owner, code } => {
                match &owner {
                    Owner::Address(email) => db::charge_to(email.canonical()),
                    Owner::User(user) => db::charge_to(user),
                }
                let code = purpose.code_form().read(&code).expect("validated");
                let attempt = Attempt { purpose, owner, code, network };
                let (keys, limits) = (auth.challenge_keys.clone(), auth.limits.clone());
                let try_it = move |conn: &mut _| -> Result<_, Problem> {
                    if let (CodeForm::SixDigits, Owner::User(user)) = (purpose.code_form(), &attempt.owner) {
                        limits.budgets.spend(conn, limits.rates.codes.six_digits, &user.to_string(), now)?;
                    }
                    Ok(challenges::try_code(conn, &keys, &limits, &attempt, now)?)
                };
                let found = auth.db.run(try_it).await?;
                if found.is_none() {
                    auth.limits.wrong_guesses.count_code();
                }
                found
            }
        };
        let found = found.ok_or_else(|| refused(pointer))?;
        if let Some(user) = found.user() {
            db::charge_to(&user);
        }
        Ok(found)
    }
}

/// Locks the account of a challenge and uses the challenge up. Returns None if the account is gone, or if another request
/// used the challenge first.
pub(super) fn use_up(
    conn: &mut PgConnection,
    user: UserId,
    challenge: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<Option<Account>> {
    let Some(account) = users::lock_account(conn, user)? else {
        return Ok(None);
    };
    Ok(challenges::consume(conn, challenge, now)?.then_some(account))
}

/// The answer to every invalid token and code.
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

/// For validator: eight characters.
pub(super) fn check_code(code: &str) -> Result<(), ValidationError> {
    check_form(CodeForm::EightCharacters, code, "must be the eight characters from the mail")
}

/// For validator: six digits.
pub(super) fn check_six_digits(code: &str) -> Result<(), ValidationError> {
    check_form(CodeForm::SixDigits, code, "must be six digits")
}

fn check_form(form: CodeForm, code: &str, message: &'static str) -> Result<(), ValidationError> {
    match form.read(code) {
        Some(_) => Ok(()),
        None => Err(ValidationError::new("code").with_message(message.into())),
    }
}
