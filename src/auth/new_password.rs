//! Checks, hashes and sets a new password of an existing account.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    Auth, challenges,
    mails::{Notice, NoticeMail},
    proof::{check_code, check_proof, refused, use_up},
};
use crate::{
    db::UserId,
    http::{Network, Problem},
    jobs, passwords,
    tokens::{
        Client, EndedSessions, api_keys, login_devices,
        sessions::{self, Selection},
    },
    users::{self, Account, check_email},
};

/// Either `token`, or `email` and `code`; and the new password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_body"))]
#[schema(example = json!({"email": "ada@example.com", "code": "K7QM2XPA", "new_password": "a horse of another colour"}))]
pub struct ChoosePassword {
    /// From the link in the mail; at most 128 characters.
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    pub token: Option<String>,
    /// The address that the code was mailed to.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    pub email: Option<String>,
    /// The eight characters from the mail. Case, spaces and dashes make no difference.
    #[schema(min_length = 8, max_length = 15, pattern = "^[0-9A-TV-Za-tv-z]([ -]?[0-9A-TV-Za-tv-z]){7}$")]
    #[validate(custom(function = "check_code"))]
    pub code: Option<String>,
    /// 8 to 256 characters of any kind. Common passwords, your own address or name, and the name or address of
    /// this service are refused.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    #[validate(custom(function = "check"))]
    pub new_password: String,
}

fn check_body(body: &ChoosePassword) -> Result<(), ValidationError> {
    check_proof(body.token.is_some(), body.email.is_some(), body.code.is_some())
}

/// For validator: the rules that do not depend on the account.
pub(super) fn check(password: &str) -> Result<(), ValidationError> {
    passwords::check(password, &[])
}

/// The problem of a password that the policy refuses, in the field at `pointer`.
fn invalid(pointer: &'static str, error: ValidationError) -> Problem {
    Problem::invalid(pointer, error.code, error.message.unwrap_or_else(|| "is not valid".into()))
}

/// Checks a new password against the policy and against breaches; it is in the field at `pointer`.
pub(super) async fn check_all(
    auth: &Auth,
    password: &str,
    personal: &[Option<&str>],
    pointer: &'static str,
) -> Result<(), Problem> {
    auth.policy.check(password, personal).map_err(|error| invalid(pointer, error))?;
    if let Some(breaches) = &auth.breaches
        && breaches.contain(password).await
    {
        return Err(Problem::invalid(
            pointer,
            "common",
            "was found in a data breach of another service: attackers try it first",
        ));
    }
    Ok(())
}

/// Checks the password also against the account's address and names and the service's words, then hashes it.
pub(super) async fn hash(
    auth: &Auth,
    password: String,
    user: UserId,
    network: Network,
) -> Result<String, Problem> {
    let account = auth.db.query(move |conn| users::find_account(conn, user)).await?;
    let account = account.ok_or_else(|| refused("/code"))?;
    let personal = [Some(account.email.given()), account.username.as_deref(), account.name.as_deref()];
    check_all(auth, &password, &personal, "/new_password").await?;
    auth.hasher.reserve(network)?.hash(password).await
}

/// Uses the challenge up, sets the password, and ends all sessions and pending challenges. Returns None if another request
/// used the challenge first.
pub(super) fn set(
    conn: &mut PgConnection,
    challenge: Uuid,
    user: UserId,
    hash: &str,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Option<(Account, EndedSessions)>, Problem> {
    let Some(account) = use_up(conn, user, challenge, now)? else {
        return Ok(None);
    };
    users::set_password(conn, user, hash, now)?;
    // Its log-in with the new password is no news.
    login_devices::remember(conn, user, client, now)?;
    challenges::cancel(conn, user)?;
    let ended = sessions::end(conn, user, Selection::All)?;
    Ok(Some((account, ended)))
}

/// Mails the owner that the password was changed.
pub(super) fn notify(
    conn: &mut PgConnection,
    account: &Account,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let has_keys = api_keys::count(conn, account.id)? > 0;
    let notice = if has_keys { Notice::PasswordChangedWithKeys } else { Notice::PasswordChanged };
    jobs::enqueue(conn, &NoticeMail::to(&account.email, notice).by(client, now), now)?;
    Ok(())
}
