//! Asks for the password again, so that a stolen access token is not enough.

use uuid::Uuid;

use super::store;
use crate::{
    db::Db,
    http::{Problem, RateLimits, kind},
    passwords::{self, Hasher, Verdict},
    tokens::Refusal,
};

/// Returns the hash that it matched, for [`super::lock_hash`].
///
/// # Errors
/// `wrong-password`; too many guesses; no place in the hashing queue.
pub async fn check_password(
    password: String,
    user: Uuid,
    db: &Db,
    hasher: &Hasher,
    limits: &RateLimits,
) -> Result<String, Problem> {
    limits.check(passwords::ATTEMPTS, user)?;
    let place = hasher.reserve()?;
    let stored = db.run(move |conn| Ok::<_, Problem>(store::find_hash(conn, user)?)).await?;
    let stored = stored.ok_or(Refusal::Revoked)?;
    match place.verify(password, Some(stored.clone())).await? {
        Verdict::Wrong => Err(Problem::new(&kind::WRONG_PASSWORD)),
        Verdict::Right | Verdict::RightButOutdated(_) => Ok(stored),
    }
}
