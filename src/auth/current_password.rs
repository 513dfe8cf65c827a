//! Asks for the password again, so that a stolen access token is not enough.

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use diesel::PgConnection;

use crate::{
    db::{Db, UserId},
    http::{ClientIp, Problem, kind},
    limits::Limits,
    passwords::{Hasher, Verdict},
    tokens::Refusal,
    users::{self, Account, Guess},
};

/// A password that was right a moment ago.
pub struct Verified {
    user: UserId,
    hash: String,
}

impl Verified {
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

/// # Errors
/// `wrong-password`; too many guesses; no place in the hashing queue.
pub async fn check_password(
    password: String,
    user: UserId,
    db: &Db,
    hasher: &Hasher,
    limits: &Data<Limits>,
    address: ClientIp,
    now: DateTime<Utc>,
) -> Result<Verified, Problem> {
    let network = address.network();
    let place = hasher.reserve(network)?;
    let counted = limits.clone();
    let (guess, stored) = db
        .tx(move |conn| {
            let guess = Guess::of_user(conn, &counted, user, network, now)?;
            Ok::<_, Problem>((guess, users::find_hash(conn, user)?))
        })
        .await?;
    let stored = stored.ok_or(Refusal::Revoked)?;
    let verdict = match place.verify(password, Some(stored.clone())).await {
        Ok(verdict) => verdict,
        Err(problem) => {
            let counted = limits.clone();
            db.query(move |conn| guess.was_not_checked(conn, &counted)).await?;
            return Err(problem);
        }
    };
    match verdict {
        Verdict::Wrong => {
            limits.wrong_guesses.count_password();
            Err(Problem::new(&kind::WRONG_PASSWORD))
        }
        Verdict::Right | Verdict::RightButOutdated(_) => {
            // At once: what the password is for may still be refused.
            let counted = limits.clone();
            db.query(move |conn| guess.was_right(conn, &counted)).await?;
            Ok(Verified { user, hash: stored })
        }
    }
}
