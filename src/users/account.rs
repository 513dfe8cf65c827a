//! Reads and changes accounts for flows by mail: confirmation, recovery, changes of the address or password.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, dsl::sql, expression::SqlLiteral, prelude::*, sql_types::Text};

use super::{
    email::EmailAddress,
    model::{STATUS, Status},
};
use crate::{
    db::{UserId, schema::users},
    tokens::{Role, login_networks},
};

/// An account as the flows by mail need it.
#[derive(Queryable, Selectable, Clone)]
#[diesel(table_name = users)]
pub struct Account {
    pub id: UserId,
    #[diesel(select_expression = (users::email, users::email_canonical))]
    pub email: EmailAddress,
    pub username: Option<String>,
    pub name: Option<String>,
    #[diesel(select_expression = users::email_confirmed_at.is_not_null())]
    pub email_confirmed: bool,
    #[diesel(select_expression = sql::<Text>(STATUS), select_expression_type = SqlLiteral<Text>)]
    pub status: Status,
    pub created_at: DateTime<Utc>,
    /// When its address was last changed.
    pub email_changed_at: Option<DateTime<Utc>>,
}

impl Account {
    /// Whether the person has not chosen a password yet.
    pub fn can_be_invited(&self) -> bool {
        self.status == Status::Invited
    }

    /// Returns the name to greet in a mail, if the address is confirmed. Otherwise a person could register a stranger's
    /// address with an advertisement as name, and we would mail it.
    pub fn greeting(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.email_confirmed)
    }
}

pub fn find_account(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<Account>> {
    users::table.find(id).select(Account::as_select()).first(conn).optional()
}

/// Finds the account with this address, in any spelling.
pub fn find_account_of(conn: &mut PgConnection, email: &EmailAddress) -> QueryResult<Option<Account>> {
    users::table
        .filter(users::email_canonical.eq(email.canonical()))
        .select(Account::as_select())
        .first(conn)
        .optional()
}

/// Like [`find_account_of`], and locks the row like [`lock_account`].
pub fn lock_account_of(conn: &mut PgConnection, email: &EmailAddress) -> QueryResult<Option<Account>> {
    users::table
        .filter(users::email_canonical.eq(email.canonical()))
        .select(Account::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Locks the user's row. A transaction that also changes sessions or challenges does this first, to avoid deadlocks.
pub fn lock_account(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<Account>> {
    users::table.find(id).select(Account::as_select()).for_update().first(conn).optional()
}

/// Like [`lock_account`]; also None if the account is deleted or has another password hash.
pub fn lock_with_hash(conn: &mut PgConnection, id: UserId, hash: &str) -> QueryResult<Option<Account>> {
    users::table
        .find(id)
        .filter(users::password_hash.eq(hash).and(users::deleted_at.is_null()))
        .select(Account::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Locks the user's row like [`lock_account`] and returns its password hash; None for a deleted account.
pub fn lock_hash(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<String>> {
    users::table
        .find(id)
        .filter(users::deleted_at.is_null())
        .select(users::password_hash)
        .for_update()
        .first(conn)
        .optional()
}

/// Locks the user's row against other callers of this function, without blocking references to it. Transactions that count
/// a user's rows before they add one call this first. Returns the role, which does not change until the end of the
/// transaction; None if there is no such user, or it is disabled or deleted.
pub fn lock_for_counting(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<Role>> {
    users::table
        .find(id)
        .filter(users::disabled_at.is_null().and(users::deleted_at.is_null()))
        .select(users::role)
        .for_no_key_update()
        .first(conn)
        .optional()
}

/// Whether an account has this username. Only a hint: another one may take it before it is inserted.
pub fn is_username_taken(conn: &mut PgConnection, username: &str) -> QueryResult<bool> {
    let canonical = username.to_ascii_lowercase();
    let same = users::table.filter(users::username_canonical.eq(canonical));
    diesel::select(diesel::dsl::exists(same)).get_result(conn)
}

/// Sets the password, and forgets from where the user has logged in: that may have been a thief of the old password.
pub fn set_password(conn: &mut PgConnection, id: UserId, hash: &str, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::update(users::table.find(id))
        .set((
            users::password_hash.eq(hash),
            users::version.eq(users::version + 1),
            users::updated_at.eq(now),
        ))
        .execute(conn)?;
    login_networks::forget_all(conn, id)
}

/// Marks the address as confirmed. Returns false if the account has another address by now.
pub fn confirm_email(
    conn: &mut PgConnection,
    id: UserId,
    email: &EmailAddress,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let account = users::table.find(id).filter(users::email_canonical.eq(email.canonical()));
    let confirmed = diesel::update(account)
        .set((
            users::email_confirmed_at.eq(now),
            users::version.eq(users::version + 1),
            users::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(confirmed == 1)
}

/// Gives the account an address at which the person has proved to receive mail.
///
/// # Errors
/// [`Taken::Email`](super::Taken) if another account has or has reserved the address.
pub fn change_email(
    conn: &mut PgConnection,
    id: UserId,
    email: &EmailAddress,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(users::table.find(id))
        .set((
            users::email.eq(email.given()),
            users::email_canonical.eq(email.canonical()),
            users::email_confirmed_at.eq(now),
            users::email_changed_at.eq(now),
            users::version.eq(users::version + 1),
            users::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Gives the account to the person who receives mail at its address, or for whom an operator vouches: sets a new
/// password and removes the name and username of the previous person. The caller also ends the sessions and deletes
/// the challenges.
pub fn take_over(conn: &mut PgConnection, id: UserId, hash: &str, now: DateTime<Utc>) -> QueryResult<()> {
    let none = None::<String>;
    diesel::update(users::table.find(id))
        .set((
            users::password_hash.eq(hash),
            users::name.eq(&none),
            users::username.eq(&none),
            users::username_canonical.eq(&none),
            users::email_confirmed_at.eq(now),
            users::email_changed_at.eq(None::<DateTime<Utc>>),
            users::version.eq(users::version + 1),
            users::updated_at.eq(now),
        ))
        .execute(conn)?;
    login_networks::forget_all(conn, id)
}
