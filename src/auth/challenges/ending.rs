//! Ends challenges after a change of the account, and the reservations of addresses.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::{exists, select},
    prelude::*,
};
use uuid::Uuid;

use super::model::{Challenge, Purpose};
use crate::{
    db::{UserId, schema::challenges},
    users::EmailAddress,
};

/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// Ends a user's pending challenges after the password or the address has changed. The right to undo an earlier change
/// of the address stays, and so do the links that end a session: the person who made this change may be a thief.
pub fn cancel(conn: &mut PgConnection, user: UserId) -> QueryResult<()> {
    let pending = challenges::user_id.eq(user).and(challenges::consumed_at.is_null());
    let cancelled = challenges::purpose.ne_all([Purpose::UndoEmailChange, Purpose::EndSession]);
    diesel::delete(challenges::table.filter(pending.and(cancelled))).execute(conn)?;
    Ok(())
}

/// Like [`cancel`], and also ends the right to undo changes of the address, so that the present owner cannot lose the
/// account by it.
pub fn cancel_all(conn: &mut PgConnection, user: UserId) -> QueryResult<()> {
    let pending = challenges::user_id.eq(user).and(challenges::consumed_at.is_null());
    diesel::delete(challenges::table.filter(pending)).execute(conn)?;
    Ok(())
}

/// Deletes all challenges of a deleted account, also used ones: no link or code that was mailed before has an effect.
pub fn forget(conn: &mut PgConnection, user: UserId) -> QueryResult<()> {
    diesel::delete(challenges::table.filter(challenges::user_id.eq(user))).execute(conn)?;
    Ok(())
}

/// Ends every reservation of this address. Returns the accounts that can no longer get the address back.
pub fn release(
    conn: &mut PgConnection,
    email: &EmailAddress,
    now: DateTime<Utc>,
) -> QueryResult<Vec<UserId>> {
    let undo = challenges::purpose
        .eq(Purpose::UndoEmailChange)
        .and(challenges::email_canonical.eq(email.canonical()))
        .and(challenges::consumed_at.is_null().and(challenges::expires_at.gt(now)));
    let user = challenges::user_id.assume_not_null();
    diesel::delete(challenges::table.filter(undo)).returning(user).get_results(conn)
}

/// Like [`cancel`], and also ends the right to undo changes that came after the undone one.
pub fn cancel_after(conn: &mut PgConnection, user: UserId, undone: &Challenge) -> QueryResult<()> {
    cancel(conn, user)?;
    let later = challenges::purpose
        .eq(Purpose::UndoEmailChange)
        .and(challenges::created_at.ge(undone.created_at))
        .and(challenges::id.ne(undone.id));
    diesel::delete(challenges::table.filter(challenges::user_id.eq(user).and(later))).execute(conn)?;
    Ok(())
}

/// Whether another account than `user` can still get this address back.
pub fn is_reserved(
    conn: &mut PgConnection,
    email: &EmailAddress,
    user: Option<UserId>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let undo = challenges::table
        .filter(challenges::purpose.eq(Purpose::UndoEmailChange))
        .filter(challenges::email_canonical.eq(email.canonical()))
        .filter(challenges::user_id.is_distinct_from(user))
        .filter(challenges::consumed_at.is_null().and(challenges::expires_at.gt(now)));
    select(exists(undo)).get_result(conn)
}

/// Returns which of these canonical addresses an account can still get back.
pub fn find_reserved(
    conn: &mut PgConnection,
    emails: &[&str],
    now: DateTime<Utc>,
) -> QueryResult<Vec<String>> {
    challenges::table
        .filter(challenges::purpose.eq(Purpose::UndoEmailChange))
        .filter(challenges::email_canonical.eq_any(emails))
        .filter(challenges::consumed_at.is_null().and(challenges::expires_at.gt(now)))
        .select(challenges::email_canonical)
        .load(conn)
}

/// Deletes at most [`BATCH`] expired challenges. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let expired: Vec<Uuid> = challenges::table
        .filter(challenges::expires_at.lt(now))
        .select(challenges::id)
        .order(challenges::id)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .load(conn)?;
    let count = diesel::delete(challenges::table.filter(challenges::id.eq_any(expired))).execute(conn)?;
    Ok(count >= usize::try_from(BATCH).expect("small"))
}
