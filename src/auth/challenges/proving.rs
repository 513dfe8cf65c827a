//! The side that proves: finds the challenge of a token or a code, and uses it up.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    connection::SimpleConnection,
    dsl::{exists, select},
    prelude::*,
};
use uuid::Uuid;

use super::{
    code::CodeForm,
    model::{Challenge, Condition, Purpose, Subject},
    secrets::{ChallengeKeys, hash_token},
};
use crate::{
    db::{UserId, schema::challenges},
    http::Network,
    limits::Limits,
    users::EmailAddress,
};

/// Finds the challenge of this token unless it has expired. Used ones are found too: whether they are accepted depends
/// on the purpose.
pub fn find_by_token(
    conn: &mut PgConnection,
    purpose: Purpose,
    token: &str,
    now: DateTime<Utc>,
) -> QueryResult<Option<Challenge>> {
    challenges::table
        .filter(challenges::token_hash.eq(hash_token(token)))
        .filter(challenges::purpose.eq(purpose).and(challenges::expires_at.gt(now)))
        .select(Challenge::as_select())
        .first(conn)
        .optional()
}

/// Whose code it is.
#[derive(Clone)]
pub enum Owner {
    /// The person who receives mail at this address.
    Address(EmailAddress),
    User(UserId),
}

/// An attempt with a code.
pub struct Attempt {
    pub purpose: Purpose,
    pub owner: Owner,
    /// As [`CodeForm::read`] returns it.
    pub code: String,
    /// Where the attempt comes from.
    pub network: Network,
}

/// Finds the live challenge of a code.
///
/// - A wrong code is counted in a transaction of its own. Do not call this in one that a wrong code rolls back.
/// - A right code is not counted, so that a person can send it again after correcting another field.
/// - Simultaneous attempts run one after the other, because the rows are locked.
/// - An attempt counts for every pending registration of the address, since each has a code of its own.
/// - Without any challenge the same statements run, and the commit does not wait for the disk: the time does not
///   show whether there is one. A crash of PostgreSQL may lose a few attempts.
pub fn try_code(
    conn: &mut PgConnection,
    keys: &ChallengeKeys,
    limits: &Limits,
    attempt: &Attempt,
    now: DateTime<Utc>,
) -> QueryResult<Option<Challenge>> {
    let Attempt { purpose, owner, code, network } = attempt;
    let (form, of_network) = (purpose.code_form(), limits.rates.codes.network);
    let (of_owner, owner_name): (Condition, String) = match owner {
        Owner::Address(email) => {
            let canonical = email.canonical().to_owned();
            (Box::new(challenges::email_canonical.eq(canonical.clone()).nullable()), canonical)
        }
        Owner::User(id) => (Subject::User(*id).condition(), id.to_string()),
    };
    conn.transaction(|conn| {
        conn.batch_execute("SET LOCAL synchronous_commit TO off")?;
        // Everything that locks several rows locks them in this order, so that there is no deadlock.
        let tried = challenges::table
            .filter(challenges::purpose.eq(purpose).and(challenges::code_expires_at.gt(now)))
            .filter(challenges::tries.lt(form.max_tries()))
            .filter(of_owner)
            .order(challenges::id)
            .select((Challenge::as_select(), challenges::code_hash.assume_not_null()))
            .for_update()
            .load::<(Challenge, Vec<u8>)>(conn)?;
        let mut subjects: Vec<String> =
            tried.iter().map(|(one, _)| format!("{} {network}", one.id)).collect();
        if subjects.is_empty() {
            subjects.push(format!("{owner_name} {network}"));
        }
        let mut open = Vec::new();
        for (index, subject) in subjects.iter().enumerate() {
            if form == CodeForm::SixDigits || !limits.budgets.is_used_up(conn, of_network, subject, now)? {
                open.extend(tried.get(index));
            }
        }
        let right =
            open.iter().find(|(one, hash)| keys.is_code(one.id, code, hash)).map(|(one, _)| one.clone());
        let wrong: Vec<Uuid> = open.iter().map(|(one, _)| one.id).filter(|_| right.is_none()).collect();
        if right.is_none() && form == CodeForm::EightCharacters {
            for subject in &subjects {
                // A budget that is used up stays used up.
                let _ = limits.budgets.take(conn, of_network, subject, now)?;
            }
        }
        diesel::update(challenges::table.filter(challenges::id.eq_any(wrong)))
            .set(challenges::tries.eq(challenges::tries + 1))
            .execute(conn)?;
        Ok(right)
    })
}

/// Locks all challenges of this address. Call this before ending several of them.
pub fn lock_all(conn: &mut PgConnection, email: &EmailAddress) -> QueryResult<()> {
    challenges::table
        .filter(challenges::email_canonical.eq(email.canonical()))
        .order(challenges::id)
        .select(challenges::id)
        .for_update()
        .load::<Uuid>(conn)?;
    Ok(())
}

/// Uses a challenge up. Returns false if it was used before, has expired or was cancelled. A transaction that also
/// changes the user's row locks that row first.
pub fn consume(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> QueryResult<bool> {
    let live = challenges::consumed_at.is_null().and(challenges::expires_at.gt(now));
    let consumed = diesel::update(challenges::table.find(id).filter(live))
        .set(challenges::consumed_at.eq(now))
        .execute(conn)?;
    Ok(consumed == 1)
}

/// Whether the challenge was used and its row still exists.
pub fn is_consumed(conn: &mut PgConnection, id: Uuid) -> QueryResult<bool> {
    let used = challenges::table.find(id).filter(challenges::consumed_at.is_not_null());
    select(exists(used)).get_result(conn)
}

/// Moves the challenge of a registration to the account that it became, so that the row survives the registration.
pub fn hand_over(conn: &mut PgConnection, id: Uuid, user: UserId) -> QueryResult<()> {
    diesel::update(challenges::table.find(id))
        .set((challenges::user_id.eq(user), challenges::registration_id.eq(None::<Uuid>)))
        .execute(conn)?;
    Ok(())
}
