//! Asks for the password again, so that a stolen access token is not enough.

use actix_web::web::Data;
use uuid::Uuid;

use crate::{
    db::Db,
    http::{Problem, RateLimits, kind},
    passwords::{self, Hasher, Verdict},
    tokens::Refusal,
    users,
};

/// Returns the hash that it matched, for [`users::lock_hash`].
pub(super) async fn check(
    password: String,
    user: Uuid,
    db: &Db,
    hasher: &Data<Hasher>,
    limits: &RateLimits,
) -> Result<String, Problem> {
    limits.check(passwords::ATTEMPTS, user)?;
    let stored = db.run(move |conn| Ok::<_, Problem>(users::find_hash(conn, user)?)).await?;
    let stored = stored.ok_or(Refusal::Revoked)?;
    match hasher.reserve()?.verify(password, Some(stored.clone())).await? {
        Verdict::Wrong => Err(Problem::new(&kind::WRONG_PASSWORD)),
        Verdict::Right | Verdict::RightButOutdated(_) => Ok(stored),
    }
}
