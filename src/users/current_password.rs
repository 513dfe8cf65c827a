//! Asks for the password again, so that a stolen access token is not enough.

use diesel::PgConnection;
use uuid::Uuid;

use super::{
    account::{self, Account},
    store,
};
use crate::{
    db::Db,
    http::{Problem, RateLimits, kind},
    passwords::{self, Hasher, Verdict},
    tokens::Refusal,
};

/// A password that was right a moment ago.
pub struct Verified {
    user: Uuid,
    hash: String,
}

impl Verified {
    /// Locks the account like [`super::lock_account`]. Verifying takes a while, so who acts on it asks
    /// in the same transaction whether that still is the password: else a thief who was being let in
    /// would survive a reset.
    ///
    /// # Errors
    /// The password was changed, or the account is gone.
    pub fn lock(&self, conn: &mut PgConnection) -> Result<Account, Problem> {
        Ok(account::lock_with_hash(conn, self.user, &self.hash)?.ok_or(Refusal::Revoked)?)
    }
}

/// # Errors
/// `wrong-password`; too many guesses; no place in the hashing queue.
pub async fn check_password(
    password: String,
    user: Uuid,
    db: &Db,
    hasher: &Hasher,
    limits: &RateLimits,
) -> Result<Verified, Problem> {
    limits.check(passwords::ATTEMPTS, user)?;
    let place = hasher.reserve()?;
    let stored = db.run(move |conn| Ok::<_, Problem>(store::find_hash(conn, user)?)).await?;
    let stored = stored.ok_or(Refusal::Revoked)?;
    match place.verify(password, Some(stored.clone())).await? {
        Verdict::Wrong => Err(Problem::new(&kind::WRONG_PASSWORD)),
        Verdict::Right | Verdict::RightButOutdated(_) => Ok(Verified { user, hash: stored }),
    }
}
