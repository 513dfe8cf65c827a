//! The side that mails: opens a challenge, and makes its secrets when the mail is written.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::{exists, select},
    prelude::*,
};
use uuid::Uuid;

use super::{
    model::{CODE_LIFETIME, Challenge, Purpose, Subject},
    secrets::{ChallengeKeys, Secrets, hash_token},
};
use crate::{db::schema::challenges, users::EmailAddress};

/// For as long as that the mail may be delayed.
const UNARMED_LIFETIME: TimeDelta = TimeDelta::days(7);

/// What to open.
pub struct NewChallenge<'a> {
    pub purpose: Purpose,
    pub subject: Subject,
    /// Where it is mailed.
    pub email: &'a EmailAddress,
}

/// Opens a challenge and returns its id, for the job that mails it. It replaces the subject's earlier ones of this
/// purpose; changes of the address can be undone one by one, so those stay.
///
/// # Errors
/// A foreign key violation when the subject is gone.
pub fn open(conn: &mut PgConnection, new: &NewChallenge, now: DateTime<Utc>) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    insert(conn, id, new, now)?;
    Ok(id)
}

/// Changes nothing if the same `id` was opened before.
fn insert(conn: &mut PgConnection, id: Uuid, new: &NewChallenge, now: DateTime<Utc>) -> QueryResult<()> {
    let (user_id, registration_id) = match new.subject {
        Subject::User(id) => (Some(id), None),
        Subject::Registration(id) => (None, Some(id)),
    };
    if new.purpose != Purpose::UndoEmailChange {
        let earlier = challenges::purpose.eq(new.purpose).and(challenges::id.ne(id));
        diesel::delete(challenges::table.filter(earlier).filter(new.subject.is_its())).execute(conn)?;
    }
    diesel::insert_into(challenges::table)
        .values((
            challenges::id.eq(id),
            challenges::purpose.eq(new.purpose),
            challenges::user_id.eq(user_id),
            challenges::registration_id.eq(registration_id),
            challenges::email.eq(new.email.given()),
            challenges::email_canonical.eq(new.email.canonical()),
            challenges::created_at.eq(now),
            challenges::expires_at.eq(now + UNARMED_LIFETIME),
        ))
        .on_conflict(challenges::id)
        .do_nothing()
        .execute(conn)?;
    Ok(())
}

/// Opens a challenge with the id of the job that mails it, unless a newer one can still be used by the
/// subject: a mail that was held up must not replace one that has arrived. False then.
pub fn open_in_turn(
    conn: &mut PgConnection,
    id: Uuid,
    new: &NewChallenge,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let newer = challenges::purpose.eq(new.purpose).and(challenges::id.gt(id));
    let usable = challenges::consumed_at.is_null().and(challenges::expires_at.gt(now));
    let newer = challenges::table.filter(newer.and(usable)).filter(new.subject.is_its());
    let is_late: bool = select(exists(newer)).get_result(conn)?;
    if is_late {
        tracing::debug!(%id, "a mail is not sent: a newer one takes its place");
    } else {
        insert(conn, id, new, now)?;
    }
    Ok(!is_late)
}

/// Makes the secrets for a mail and starts their clock; None when the challenge is gone or was
/// used, so that there is nothing to mail.
pub fn arm(
    conn: &mut PgConnection,
    keys: &ChallengeKeys,
    id: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<Option<(Challenge, Secrets)>> {
    let open = challenges::table.find(id).filter(challenges::consumed_at.is_null());
    let found: Option<Challenge> = open.select(Challenge::as_select()).for_update().first(conn).optional()?;
    let Some(challenge) = found else {
        return Ok(None);
    };
    let secrets = keys.secrets(id, challenge.purpose.code_form());
    let (code, expires_at) = match challenge.purpose {
        // Counted from the change, so that nobody knows the address reserved for longer.
        Purpose::UndoEmailChange => (None, challenge.created_at + challenge.purpose.lifetime()),
        Purpose::UnlockLogin => (None, now + challenge.purpose.lifetime()),
        purpose => (Some(keys.hash_code(id, &secrets.code)), now + purpose.lifetime()),
    };
    diesel::update(challenges::table.find(id))
        .set((
            challenges::token_hash.eq(hash_token(&secrets.token)),
            challenges::code_expires_at.eq(code.is_some().then_some(now + CODE_LIFETIME)),
            challenges::code_hash.eq(code),
            challenges::expires_at.eq(expires_at),
        ))
        .execute(conn)?;
    Ok(Some((challenge, secrets)))
}

/// Whether it was opened and is still known.
pub fn is_there(conn: &mut PgConnection, id: Uuid) -> QueryResult<bool> {
    select(exists(challenges::table.find(id))).get_result(conn)
}
