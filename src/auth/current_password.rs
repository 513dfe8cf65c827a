//! Checks the current password of a logged-in user, so that a stolen access token is not enough.

use chrono::{DateTime, Utc};
use diesel::PgConnection;

use super::Auth;
use crate::{
    db::UserId,
    http::{Network, Problem, kind},
    passwords::Verdict,
    tokens::Refusal,
    users::{self, Account, Guess},
};

/// A password that was right when it was verified.
pub struct CheckedPassword {
    user: UserId,
    hash: String,
}

impl CheckedPassword {
    /// Locks the account like [`users::lock_account`], if it still has this password. Call this in the transaction
    /// of the change: verifying takes a while, and a thief must not get a change through after a reset.
    ///
    /// # Errors
    /// `token-revoked` if the password was changed or the account was deleted.
    pub fn lock(&self, conn: &mut PgConnection) -> Result<Account, Problem> {
        Ok(users::lock_with_hash(conn, self.user, &self.hash)?.ok_or(Refusal::Revoked)?)
    }
}

impl Auth {
    /// Checks the current password of a logged-in user.
    ///
    /// # Errors
    /// `wrong-password`; `too-many-requests`; `overloaded`.
    pub(super) async fn check_password(
        &self,
        password: String,
        user: UserId,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<CheckedPassword, Problem> {
        let permit = self.hasher.reserve(network)?;
        let limits = self.limits.clone();
        let count = move |conn: &mut _| -> Result<_, Problem> {
            let guess = Guess::of_user(conn, &limits, user, network, now)?;
            Ok((guess, users::find_hash(conn, user)?))
        };
        let (guess, stored) = self.db.tx(count).await?;
        let stored = stored.ok_or(Refusal::Revoked)?;
        let limits = self.limits.clone();
        match permit.verify(password, Some(stored.clone())).await {
            Ok(Verdict::Wrong) => {
                limits.wrong_guesses.count_password();
                Err(Problem::new(&kind::WRONG_PASSWORD))
            }
            Ok(Verdict::Right | Verdict::RightButOutdated(_)) => {
                // In a transaction of its own: the request may still be refused for another reason.
                self.db.query(move |conn| guess.was_right(conn, &limits)).await?;
                Ok(CheckedPassword { user, hash: stored })
            }
            Err(problem) => {
                self.db.query(move |conn| guess.refund(conn, &limits)).await?;
                Err(problem)
            }
        }
    }
}
