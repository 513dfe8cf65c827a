//! Checks, hashes and sets a new password of an existing account.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use uuid::Uuid;
use validator::ValidationError;

use super::{
    Auth, challenges,
    mails::{Notice, NoticeMail},
    proof::refused,
};
use crate::{
    db::UserId,
    http::{Network, Problem},
    jobs, passwords,
    tokens::{
        Client, EndedSessions, api_keys, login_devices,
        sessions::{self, Selection},
    },
    users::{self, Account},
};

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

/// Uses the challenge up, sets the password, ends all sessions and pending challenges, and mails a notice. Returns None
/// if another request used the challenge first.
pub(super) fn set(
    conn: &mut PgConnection,
    challenge: Uuid,
    user: UserId,
    hash: &str,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Option<(Account, EndedSessions)>, Problem> {
    let Some(account) = users::lock_account(conn, user)? else {
        return Ok(None);
    };
    if !challenges::consume(conn, challenge, now)? {
        return Ok(None);
    }
    users::set_password(conn, user, hash, now)?;
    // Its log-in with the new password is no news.
    login_devices::remember(conn, user, client, now)?;
    challenges::cancel(conn, user)?;
    let ended = sessions::end(conn, user, Selection::All)?;
    let has_keys = api_keys::count(conn, user)? > 0;
    let notice = if has_keys { Notice::PasswordChangedWithKeys } else { Notice::PasswordChanged };
    let notice = NoticeMail::to(&account.email, notice).by(client, now);
    jobs::enqueue(conn, &notice, now)?;
    Ok(Some((account, ended)))
}
