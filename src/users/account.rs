//! The SQL of what a person proves by mail: the address, and the right to a new password.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};

use super::email::EmailAddress;
use crate::{
    db::{UserId, schema::users},
    tokens::login_networks,
};

/// What the flows through a mailbox look at.
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
    pub created_at: DateTime<Utc>,
    /// When it last got another address.
    pub email_changed_at: Option<DateTime<Utc>>,
}

impl Account {
    /// The name to begin a mail with: only a person's own, which is certain where the address is
    /// confirmed. Else whoever registers a stranger's address could write to him in our name.
    pub fn greeting(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.email_confirmed)
    }
}

pub fn find_account(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<Account>> {
    users::table.find(id).select(Account::as_select()).first(conn).optional()
}

/// The account whose address this is, in any spelling.
pub fn find_account_of(conn: &mut PgConnection, email: &EmailAddress) -> QueryResult<Option<Account>> {
    users::table
        .filter(users::email_canonical.eq(email.canonical()))
        .select(Account::as_select())
        .first(conn)
        .optional()
}

/// As [`find_account_of`], and locks the row like [`lock_account`].
pub fn lock_account_of(conn: &mut PgConnection, email: &EmailAddress) -> QueryResult<Option<Account>> {
    users::table
        .filter(users::email_canonical.eq(email.canonical()))
        .select(Account::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Locks the user's row: whoever changes sessions or challenges as well does this first.
pub fn lock_account(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<Account>> {
    users::table.find(id).select(Account::as_select()).for_update().first(conn).optional()
}

/// As [`lock_account`]; None also if the password is another one.
pub fn lock_with_hash(conn: &mut PgConnection, id: UserId, hash: &str) -> QueryResult<Option<Account>> {
    users::table
        .find(id)
        .filter(users::password_hash.eq(hash))
        .select(Account::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Locks the user's row like [`lock_account`] and gives its password hash.
pub fn lock_hash(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<String>> {
    users::table.find(id).select(users::password_hash).for_update().first(conn).optional()
}

/// Only advice: who registers it first has it.
pub fn is_username_taken(conn: &mut PgConnection, username: &str) -> QueryResult<bool> {
    let canonical = username.to_ascii_lowercase();
    let same = users::table.filter(users::username_canonical.eq(canonical));
    diesel::select(diesel::dsl::exists(same)).get_result(conn)
}

/// Also forgets where the user has logged in: a thief of the old password may have done so.
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

/// The person reads mail at this address; false if it is not the account's any more.
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

/// To an address at which the person has proved to read mail.
///
/// # Errors
/// [`Taken::Email`](super::Taken) is to be expected.
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

/// Gives the account to the person who reads mail at its address, or for whom an operator vouches:
/// a new password, and neither name nor username of the person who had it before. The caller also
/// ends the sessions and deletes the challenges.
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
