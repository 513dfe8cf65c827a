//! Asks for the password again, so that a stolen access token is not enough.

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

/// A password that was right a moment ago.
pub struct CheckedPassword {
    user: UserId,
    hash: String,
}

impl CheckedPassword {
    /// Locks the account like [`users::lock_account`]. Verifying takes a while, so who acts on it asks
    /// in the same transaction whether that still is the password: else a thief who was being let in
    /// would survive a reset.
    ///
    /// # Errors
    /// The password was changed, or the account is gone.
    pub fn lock(&self, conn: &mut PgConnection) -> Result<Account, Problem> {
        Ok(users::lock_with_hash(conn, self.user, &self.hash)?.ok_or(Refusal::Revoked)?)
    }
}

impl Auth {
    /// Checks the current password of a person who is logged in.
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
                // At once: what the password is for may still be refused.
                self.db.query(move |conn| guess.was_right(conn, &limits)).await?;
                Ok(CheckedPassword { user, hash: stored })
            }
            Err(problem) => {
                self.db.query(move |conn| guess.was_not_checked(conn, &limits)).await?;
                Err(problem)
            }
        }
    }
}
