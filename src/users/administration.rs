//! Changes accounts for admins: names, roles, disabling, deletion and restoration.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::{exists, select, sql},
    prelude::*,
    sql_types::Text,
};

use super::{
    email::EmailAddress,
    model::User,
    store::{self, ProfileChange, Taken},
};
use crate::{
    db::{UserId, schema::users},
    http::{Problem, kind},
    passwords,
    tokens::{Role, login_networks},
};

/// The number of the advisory lock that transactions take which may leave the service without an admin.
const LAST_ADMIN_LOCK: i64 = 0x6d69_6e74_6164_6d6e;
/// Rows that housekeeping deletes in one statement: each may take thousands of others with it.
const BATCH: i64 = 100;

/// Locks the row of an account and returns it.
pub fn lock(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<User>> {
    store::find_for_update(conn, id)
}

/// Ensures that another admin than `id` can log in, so that this one may be demoted, disabled or deleted. The lock that
/// it takes lasts until the transaction ends: of two admins who remove each other, the second is refused.
///
/// # Errors
/// `last-admin`.
pub fn keep_an_admin(conn: &mut PgConnection, id: UserId) -> Result<(), Problem> {
    diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
        .bind::<diesel::sql_types::BigInt, _>(LAST_ADMIN_LOCK)
        .execute(conn)?;
    let usable = users::disabled_at
        .is_null()
        .and(users::deleted_at.is_null())
        .and(users::password_hash.ne(passwords::UNUSABLE));
    let others = users::table.filter(users::role.eq(Role::Admin).and(users::id.ne(id)).and(usable));
    if select(exists(others)).get_result(conn)? {
        return Ok(());
    }
    Err(Problem::new(&kind::LAST_ADMIN))
}

/// A change by an admin: None leaves a field as it is.
#[derive(Debug, Default)]
pub struct AdminChange {
    /// The inner None clears a name.
    pub name: Option<Option<String>>,
    pub username: Option<Option<String>>,
    pub role: Option<Role>,
    /// The inner None enables the account; the text is the reason to disable it.
    pub disabled: Option<Option<String>>,
}

/// Changes an account whose row is locked. The caller ends its sessions if its role changes or it is disabled.
///
/// # Errors
/// `username-taken`.
pub fn change(
    conn: &mut PgConnection,
    id: UserId,
    change: AdminChange,
    now: DateTime<Utc>,
) -> Result<User, Problem> {
    let AdminChange { name, username, role, disabled } = change;
    let disabled = disabled.map(|reason| {
        let at = reason.is_some().then_some(now);
        (users::disabled_at.eq(at), users::disabled_reason.eq(reason.filter(|text| !text.is_empty())))
    });
    diesel::update(users::table.find(id))
        .set((role.map(|role| users::role.eq(role)), disabled, users::updated_at.eq(now)))
        .execute(conn)?;
    store::update(conn, id, ProfileChange { name, username }, now).map_err(|error| match Taken::by(&error) {
        Some(taken) => taken.problem(),
        None => error.into(),
    })
}

/// Marks an account as deleted. Its address and username are free at once, and no name finds it any more. The caller
/// ends its sessions and its challenges.
pub fn mark_deleted(
    conn: &mut PgConnection,
    id: UserId,
    now: DateTime<Utc>,
    grace: TimeDelta,
) -> QueryResult<User> {
    let deleted = diesel::update(users::table.find(id))
        .set((
            users::deleted_at.eq(now),
            users::purge_at.eq(now + grace),
            users::email_canonical.eq(sql::<Text>("'deleted:' || id")),
            users::username_canonical.eq(None::<String>),
            users::version.eq(users::version + 1),
            users::updated_at.eq(now),
        ))
        .returning(User::as_returning())
        .get_result(conn)?;
    login_networks::forget_all(conn, id)?;
    Ok(deleted)
}

/// Restores a deleted account with its address and its username. It loses a username that another account has by now,
/// because its owner could do nothing about that.
///
/// # Errors
/// `email-taken`: another account has the address by now.
pub fn restore(conn: &mut PgConnection, user: &User, now: DateTime<Utc>) -> Result<User, Problem> {
    let email =
        EmailAddress::parse(&user.email).ok_or_else(|| Problem::internal("a stored address is not valid"))?;
    let mut restored = conn.transaction(|conn| bring_back(conn, user, &email, user.username.as_deref(), now));
    if restored.as_ref().is_err_and(|error| Taken::by(error) == Some(Taken::Username)) {
        restored = bring_back(conn, user, &email, None, now);
    }
    restored.map_err(|error| match Taken::by(&error) {
        Some(_) => Problem::new(&kind::EMAIL_TAKEN).detail(
            "another account has the email address by now: delete that account or change its address, then restore \
             this one",
        ),
        None => error.into(),
    })
}

fn bring_back(
    conn: &mut PgConnection,
    user: &User,
    email: &EmailAddress,
    username: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<User> {
    diesel::update(users::table.find(user.id))
        .set((
            users::deleted_at.eq(None::<DateTime<Utc>>),
            users::purge_at.eq(None::<DateTime<Utc>>),
            users::email_canonical.eq(email.canonical()),
            users::username.eq(username),
            users::username_canonical.eq(username.map(str::to_ascii_lowercase)),
            users::version.eq(users::version + 1),
            users::updated_at.eq(now),
        ))
        .returning(User::as_returning())
        .get_result(conn)
}

/// What is left to delete of a purged account.
#[derive(Queryable, Debug)]
pub struct Purged {
    pub id: UserId,
    pub email: String,
    /// The hash of its picture.
    pub picture: Option<String>,
}

/// Deletes accounts for good whose time to be restored is over, with everything that belongs to them. At most
/// [`BATCH`].
pub fn purge(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Vec<Purged>> {
    let over: Vec<UserId> = users::table
        .filter(users::purge_at.lt(now))
        .select(users::id)
        .order(users::purge_at)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .load(conn)?;
    diesel::delete(users::table.filter(users::id.eq_any(over)))
        .returning((users::id, users::email, users::avatar_hash))
        .get_results(conn)
}
