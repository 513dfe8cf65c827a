//! Challenges: what a person proves by mail, once, with the token of a link or with a code.
//!
//! A challenge is *opened* in the transaction that asks for it and *armed* by the job that mails
//! it; only then is there something to guess. Whatever makes it pointless meanwhile (a reset, an
//! undone change, a deleted account) deletes the row, and the job then finds nothing to mail.
//! A code is tried under a lock of the row, whose counter grows with each wrong one.

mod code;
mod secrets;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    connection::SimpleConnection,
    deserialize::FromSqlRow,
    dsl::{exists, select},
    expression::AsExpression,
    pg::Pg,
    prelude::*,
    sql_types::{Bool, Nullable, Text},
};
use uuid::Uuid;

use self::secrets::hash_token;
pub use self::{
    code::CodeForm,
    secrets::{ChallengeKeys, Secrets},
};
use crate::{
    db::{schema::challenges, text_enum},
    http::Network,
    limits::{Budgets, RateLimit},
};

/// Wrong codes of eight characters that one network may try at one challenge: it is used up long before
/// the [`CodeForm::max_tries`] of all, so strangers do not stop the owner. Longer than a code works.
const TRIES_OF_NETWORK: RateLimit =
    RateLimit { name: "wrong codes from a network", burst: 5, every: Duration::from_mins(15) };
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// For as long as that the mail may be delayed.
const UNARMED_LIFETIME: TimeDelta = TimeDelta::days(7);
/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// What a challenge is good for. What is made for one purpose is no good for another.
#[derive(AsExpression, FromSqlRow, Clone, Copy, Debug, PartialEq, Eq)]
#[diesel(sql_type = Text)]
pub enum Purpose {
    ConfirmEmail,
    ResetPassword,
    ChangePassword,
    ChangeEmail,
    UndoEmailChange,
    UnlockLogin,
}

impl Purpose {
    #[must_use]
    pub fn code_form(self) -> CodeForm {
        match self {
            Self::ChangePassword => CodeForm::SixDigits,
            _ => CodeForm::EightCharacters,
        }
    }

    /// How long the link works after the mail was made.
    fn lifetime(self) -> TimeDelta {
        match self {
            Self::ConfirmEmail | Self::ChangeEmail | Self::UnlockLogin => TimeDelta::hours(24),
            Self::ResetPassword => TimeDelta::minutes(30),
            Self::ChangePassword => CODE_LIFETIME,
            Self::UndoEmailChange => TimeDelta::days(7),
        }
    }
}

text_enum!(Purpose {
    ConfirmEmail = "confirm-email",
    ResetPassword = "reset-password",
    ChangePassword = "change-password",
    ChangeEmail = "change-email",
    UndoEmailChange = "undo-email-change",
    UnlockLogin = "unlock-login",
});

/// Whose challenge it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    User(Uuid),
    Registration(Uuid),
}

type Condition = Box<dyn BoxableExpression<challenges::table, Pg, SqlType = Nullable<Bool>>>;

impl Subject {
    fn is_its(self) -> Condition {
        match self {
            Self::User(id) => Box::new(challenges::user_id.eq(id)),
            Self::Registration(id) => Box::new(challenges::registration_id.eq(id)),
        }
    }
}

/// A challenge without its secrets.
#[derive(Queryable, Selectable, Clone)]
#[diesel(table_name = challenges)]
pub struct Challenge {
    pub id: Uuid,
    pub purpose: Purpose,
    user_id: Option<Uuid>,
    registration_id: Option<Uuid>,
    /// Where it is mailed.
    pub email: String,
    pub email_canonical: String,
    pub created_at: DateTime<Utc>,
    pub consumed_at: Option<DateTime<Utc>>,
}

impl Challenge {
    #[must_use]
    pub fn subject(&self) -> Subject {
        match (self.user_id, self.registration_id) {
            (Some(id), _) => Subject::User(id),
            (None, id) => Subject::Registration(id.expect("challenges_subject_check")),
        }
    }

    #[must_use]
    pub fn user(&self) -> Option<Uuid> {
        self.user_id
    }
}

/// What to open: the address as it was given and in its canonical form.
pub struct Opening<'a> {
    pub purpose: Purpose,
    pub subject: Subject,
    pub email: &'a str,
    pub email_canonical: &'a str,
}

/// Opens a challenge, which replaces the subject's earlier ones of this purpose; changes of the
/// address can be undone one by one, so those stay. Opening the same `id` again changes nothing.
///
/// # Errors
/// A foreign key violation when the subject is gone.
pub fn open(conn: &mut PgConnection, id: Uuid, what: &Opening, now: DateTime<Utc>) -> QueryResult<()> {
    let (user_id, registration_id) = match what.subject {
        Subject::User(id) => (Some(id), None),
        Subject::Registration(id) => (None, Some(id)),
    };
    if what.purpose != Purpose::UndoEmailChange {
        let earlier = challenges::purpose.eq(what.purpose).and(challenges::id.ne(id));
        diesel::delete(challenges::table.filter(earlier).filter(what.subject.is_its())).execute(conn)?;
    }
    diesel::insert_into(challenges::table)
        .values((
            challenges::id.eq(id),
            challenges::purpose.eq(what.purpose),
            challenges::user_id.eq(user_id),
            challenges::registration_id.eq(registration_id),
            challenges::email.eq(what.email),
            challenges::email_canonical.eq(what.email_canonical),
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
///
/// # Errors
/// As [`open`].
pub fn open_in_turn(
    conn: &mut PgConnection,
    id: Uuid,
    what: &Opening,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let newer = challenges::purpose.eq(what.purpose).and(challenges::id.gt(id));
    let usable = challenges::consumed_at.is_null().and(challenges::expires_at.gt(now));
    let newer = challenges::table.filter(newer.and(usable)).filter(what.subject.is_its());
    let is_late: bool = select(exists(newer)).get_result(conn)?;
    if is_late {
        tracing::debug!(%id, "a mail is not sent: a newer one takes its place");
    } else {
        open(conn, id, what, now)?;
    }
    Ok(!is_late)
}

/// Makes the secrets for a mail and starts their clock; None when the challenge is gone or was
/// used, so that there is nothing to mail.
///
/// # Errors
/// The database cannot be written.
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

/// The live challenge of this token. One that was used is found too: whether that is an answer
/// or a refusal depends on the purpose.
///
/// # Errors
/// The database cannot be read.
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

/// Whose code it may be.
#[derive(Clone)]
pub enum Owner {
    /// The person who reads mail at this canonical address.
    Address(String),
    User(Uuid),
}

/// A code that was typed.
pub struct Attempt {
    pub purpose: Purpose,
    pub owner: Owner,
    /// As [`CodeForm::read`] gives it.
    pub code: String,
    /// Where it was typed.
    pub network: Network,
}

/// The live challenge of this code. Counts a wrong one, in a transaction of its own, so it must not run
/// in one that a wrong code rolls back; a right one is no try, so a person who has it may correct what
/// else was refused. The rows are locked meanwhile: tries at once are one after the other. Several
/// registrations of one address each have a code; a try counts for all of them. Without any challenge
/// the same statements run, so that the time does not tell whether there is one. For the same reason
/// the commit does not wait for the disk; a crash of PostgreSQL may forget a few tries.
///
/// # Errors
/// The database cannot be written.
pub fn try_code(
    conn: &mut PgConnection,
    keys: &ChallengeKeys,
    budgets: &Budgets,
    attempt: &Attempt,
    now: DateTime<Utc>,
) -> QueryResult<Option<Challenge>> {
    let Attempt { purpose, owner, code, network } = attempt;
    let form = purpose.code_form();
    let (is_owners, nothing): (Condition, String) = match owner {
        Owner::Address(canonical) => {
            (Box::new(challenges::email_canonical.eq(canonical.clone()).nullable()), canonical.clone())
        }
        Owner::User(id) => (Subject::User(*id).is_its(), id.to_string()),
    };
    conn.transaction(|conn| {
        conn.batch_execute("SET LOCAL synchronous_commit TO off")?;
        // Several rows are locked in this order everywhere.
        let tried = challenges::table
            .filter(challenges::purpose.eq(purpose).and(challenges::code_expires_at.gt(now)))
            .filter(challenges::tries.lt(form.max_tries()))
            .filter(is_owners)
            .order(challenges::id)
            .select((Challenge::as_select(), challenges::code_hash.assume_not_null()))
            .for_update()
            .load::<(Challenge, Vec<u8>)>(conn)?;
        let mut subjects: Vec<String> =
            tried.iter().map(|(one, _)| format!("{} {network}", one.id)).collect();
        if subjects.is_empty() {
            subjects.push(format!("{nothing} {network}"));
        }
        let mut open = Vec::new();
        for (place, subject) in subjects.iter().enumerate() {
            if form == CodeForm::SixDigits || !budgets.is_used_up(conn, TRIES_OF_NETWORK, subject, now)? {
                open.extend(tried.get(place));
            }
        }
        let right =
            open.iter().find(|(one, hash)| keys.is_code(one.id, code, hash)).map(|(one, _)| one.clone());
        let wrong: Vec<Uuid> = open.iter().map(|(one, _)| one.id).filter(|_| right.is_none()).collect();
        if right.is_none() && form == CodeForm::EightCharacters {
            for subject in &subjects {
                // One that is used up stays so.
                let _ = budgets.take(conn, TRIES_OF_NETWORK, subject, now)?;
            }
        }
        diesel::update(challenges::table.filter(challenges::id.eq_any(wrong)))
            .set(challenges::tries.eq(challenges::tries + 1))
            .execute(conn)?;
        Ok(right)
    })
}

/// Locks all challenges of this address, for who ends several of them at once.
///
/// # Errors
/// The database cannot be read.
pub fn lock_all(conn: &mut PgConnection, email_canonical: &str) -> QueryResult<()> {
    challenges::table
        .filter(challenges::email_canonical.eq(email_canonical))
        .order(challenges::id)
        .select(challenges::id)
        .for_update()
        .load::<Uuid>(conn)?;
    Ok(())
}

/// Uses a challenge up; false if somebody else was first, or it is gone. Whoever also changes the
/// user's row locks that before.
///
/// # Errors
/// The database cannot be written.
pub fn consume(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> QueryResult<bool> {
    let live = challenges::consumed_at.is_null().and(challenges::expires_at.gt(now));
    let consumed = diesel::update(challenges::table.find(id).filter(live))
        .set(challenges::consumed_at.eq(now))
        .execute(conn)?;
    Ok(consumed == 1)
}

/// Whether it was opened and is still known.
///
/// # Errors
/// The database cannot be read.
pub fn is_there(conn: &mut PgConnection, id: Uuid) -> QueryResult<bool> {
    select(exists(challenges::table.find(id))).get_result(conn)
}

/// Whether it was used, as far as that is still known.
///
/// # Errors
/// The database cannot be read.
pub fn is_consumed(conn: &mut PgConnection, id: Uuid) -> QueryResult<bool> {
    let used = challenges::table.find(id).filter(challenges::consumed_at.is_not_null());
    select(exists(used)).get_result(conn)
}

/// A registration has become an account: its challenge survives with that.
///
/// # Errors
/// The database cannot be written.
pub fn hand_over(conn: &mut PgConnection, id: Uuid, user: Uuid) -> QueryResult<()> {
    diesel::update(challenges::table.find(id))
        .set((challenges::user_id.eq(user), challenges::registration_id.eq(None::<Uuid>)))
        .execute(conn)?;
    Ok(())
}

/// Ends what is pending for a user after the password or the address has changed. The right to
/// undo an earlier change of the address stays: the one who made this change may be the thief.
///
/// # Errors
/// The database cannot be written.
pub fn cancel(conn: &mut PgConnection, user: Uuid) -> QueryResult<()> {
    let pending = challenges::user_id.eq(user).and(challenges::consumed_at.is_null());
    let undoable = challenges::purpose.eq(Purpose::UndoEmailChange);
    diesel::delete(challenges::table.filter(pending.and(diesel::dsl::not(undoable)))).execute(conn)?;
    Ok(())
}

/// As [`cancel`], and also ends the right to undo any change of the address: whoever has the account
/// now has nothing to give back.
///
/// # Errors
/// The database cannot be written.
pub fn cancel_all(conn: &mut PgConnection, user: Uuid) -> QueryResult<()> {
    let pending = challenges::user_id.eq(user).and(challenges::consumed_at.is_null());
    diesel::delete(challenges::table.filter(pending)).execute(conn)?;
    Ok(())
}

/// Ends every reservation of this address and gives the accounts that can no longer get it back.
///
/// # Errors
/// The database cannot be written.
pub fn release(conn: &mut PgConnection, email_canonical: &str, now: DateTime<Utc>) -> QueryResult<Vec<Uuid>> {
    let undo = challenges::purpose
        .eq(Purpose::UndoEmailChange)
        .and(challenges::email_canonical.eq(email_canonical))
        .and(challenges::consumed_at.is_null().and(challenges::expires_at.gt(now)));
    let user = challenges::user_id.assume_not_null();
    diesel::delete(challenges::table.filter(undo)).returning(user).get_results(conn)
}

/// As [`cancel`], and also ends the right to undo later changes than the one that was undone.
///
/// # Errors
/// The database cannot be written.
pub fn cancel_after(conn: &mut PgConnection, user: Uuid, undone: &Challenge) -> QueryResult<()> {
    cancel(conn, user)?;
    let later = challenges::purpose
        .eq(Purpose::UndoEmailChange)
        .and(challenges::created_at.ge(undone.created_at))
        .and(challenges::id.ne(undone.id));
    diesel::delete(challenges::table.filter(challenges::user_id.eq(user).and(later))).execute(conn)?;
    Ok(())
}

/// Whether the owner of this address, somebody else than `user`, can still get it back.
///
/// # Errors
/// The database cannot be read.
pub fn is_reserved(
    conn: &mut PgConnection,
    email_canonical: &str,
    user: Option<Uuid>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let undo = challenges::table
        .filter(challenges::purpose.eq(Purpose::UndoEmailChange))
        .filter(challenges::email_canonical.eq(email_canonical))
        .filter(challenges::user_id.is_distinct_from(user))
        .filter(challenges::consumed_at.is_null().and(challenges::expires_at.gt(now)));
    select(exists(undo)).get_result(conn)
}

/// Removes at most 1,000 that have expired; true if there may be more.
///
/// # Errors
/// The database cannot be written.
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
