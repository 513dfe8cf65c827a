//! The side that mails: opens a challenge, and makes its secrets when the mail is built.

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
use crate::{
    db::{SessionId, UserId, schema::challenges},
    users::EmailAddress,
};

/// How long a challenge waits for its mail.
const UNARMED_LIFETIME: TimeDelta = TimeDelta::days(7);

/// A challenge to open.
pub struct NewChallenge<'a> {
    pub purpose: Purpose,
    pub subject: Subject,
    /// Where it is mailed.
    pub email: &'a EmailAddress,
}

/// Opens a challenge and returns its id, for the job that mails it. It replaces the subject's earlier challenges of the
/// same purpose, except those that are about one of several changes or log-ins.
///
/// # Errors
/// A foreign key violation if the subject was deleted.
pub fn open(conn: &mut PgConnection, new: &NewChallenge, now: DateTime<Utc>) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    insert(conn, id, new, now)?;
    Ok(id)
}

/// Opens a challenge that ends a session, and returns its id.
pub fn open_for_session(
    conn: &mut PgConnection,
    user: UserId,
    session: SessionId,
    email: &EmailAddress,
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    diesel::insert_into(challenges::table)
        .values((
            challenges::id.eq(id),
            challenges::purpose.eq(Purpose::EndSession),
            challenges::user_id.eq(user),
            challenges::session_id.eq(session),
            challenges::email.eq(email.given()),
            challenges::email_canonical.eq(email.canonical()),
            challenges::created_at.eq(now),
            challenges::expires_at.eq(now + UNARMED_LIFETIME),
        ))
        .execute(conn)?;
    Ok(id)
}

/// Inserts the row. Changes nothing if a challenge with this `id` exists.
fn insert(conn: &mut PgConnection, id: Uuid, new: &NewChallenge, now: DateTime<Utc>) -> QueryResult<()> {
    let (user_id, registration_id) = match new.subject {
        Subject::User(id) => (Some(id), None),
        Subject::Registration(id) => (None, Some(id)),
    };
    if !new.purpose.is_one_of_many() {
        let earlier = challenges::purpose.eq(new.purpose).and(challenges::id.ne(id));
        diesel::delete(challenges::table.filter(earlier).filter(new.subject.condition())).execute(conn)?;
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

/// Opens a challenge with the id of the job that mails it. Returns false, and opens none, if the subject has a newer
/// one that can still be used: a delayed mail must not invalidate one that has already arrived.
pub fn open_in_turn(
    conn: &mut PgConnection,
    id: Uuid,
    new: &NewChallenge,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let newer = challenges::purpose.eq(new.purpose).and(challenges::id.gt(id));
    let usable = challenges::consumed_at.is_null().and(challenges::expires_at.gt(now));
    let newer = challenges::table.filter(newer.and(usable)).filter(new.subject.condition());
    let is_late: bool = select(exists(newer)).get_result(conn)?;
    if is_late {
        tracing::debug!(%id, "mail skipped: a newer one replaces it");
    } else {
        insert(conn, id, new, now)?;
    }
    Ok(!is_late)
}

/// Makes the secrets for a mail and starts their lifetime. Returns None if there is nothing to mail, because the
/// challenge was cancelled or used.
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
        // Counted from the change, so that a delayed mail does not reserve the address for longer.
        Purpose::UndoEmailChange => (None, challenge.created_at + challenge.purpose.lifetime()),
        Purpose::UnlockLogin | Purpose::RestoreAccount | Purpose::EndSession => {
            (None, now + challenge.purpose.lifetime())
        }
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

/// Whether a challenge with this id exists.
pub fn was_opened(conn: &mut PgConnection, id: Uuid) -> QueryResult<bool> {
    select(exists(challenges::table.find(id))).get_result(conn)
}
