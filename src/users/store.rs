//! Stores accounts: inserts, finds, lists, changes and deletes them.

use std::{collections::HashSet, net::IpAddr};

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::sql,
    pg::Pg,
    prelude::*,
    result::Error,
    sql_types::{Bool, Nullable, Text, Timestamptz},
};
use ipnet::IpNet;

use super::{
    email::EmailAddress,
    model::{STATUS, Status, User},
};
use crate::{
    db::{UserId, constraint_violated, id_at, least_id_at, schema::users},
    http::{Problem, kind},
    passwords,
    tokens::Role,
};

#[derive(Insertable, Clone)]
#[diesel(table_name = users)]
pub struct NewUser {
    id: UserId,
    #[diesel(skip_insertion)]
    email: EmailAddress,
    username: Option<String>,
    username_canonical: Option<String>,
    name: Option<String>,
    role: Role,
    password_hash: String,
    email_confirmed_at: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl NewUser {
    pub fn new(email: EmailAddress, password_hash: String, role: Role, now: DateTime<Utc>) -> Self {
        Self {
            id: UserId(id_at(now)),
            email,
            username: None,
            username_canonical: None,
            name: None,
            role,
            password_hash,
            email_confirmed_at: None,
            disabled_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    pub fn named(mut self, name: Option<String>, username: Option<String>) -> Self {
        self.name = name.map(|name| name.trim().to_owned());
        self.username_canonical = username.as_deref().map(str::to_ascii_lowercase);
        self.username = username;
        self
    }

    /// Marks the address as confirmed: its owner has proved to receive mail there, or an operator vouches for it.
    pub fn confirmed(mut self) -> Self {
        self.email_confirmed_at = Some(self.created_at);
        self
    }

    /// Changes an account that was created elsewhere, at the time it was made with, into one that is imported now.
    pub fn imported(mut self, is_disabled: bool, now: DateTime<Utc>) -> Self {
        self.disabled_at = is_disabled.then_some(now);
        self.updated_at = now;
        self
    }

    pub fn id(&self) -> UserId {
        self.id
    }

    pub fn email(&self) -> &EmailAddress {
        &self.email
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn username_canonical(&self) -> Option<&str> {
        self.username_canonical.as_deref()
    }

    pub fn has_password(&self) -> bool {
        self.password_hash != passwords::UNUSABLE
    }
}

/// The name that a person logs in with.
#[derive(Clone, Debug)]
pub enum Login {
    Email(EmailAddress),
    Username(String),
}

impl Login {
    /// Returns the same text for all spellings of the same name.
    pub fn canonical(&self) -> String {
        match self {
            Self::Email(email) => email.canonical().to_owned(),
            Self::Username(name) => name.to_ascii_lowercase(),
        }
    }
}

/// A unique value that another account has, or has reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Email,
    Username,
}

impl Taken {
    /// Returns which unique value made a statement fail, if one did.
    pub fn by(error: &Error) -> Option<Self> {
        match constraint_violated(error)? {
            "users_email_key" | "users_email_reserved" => Some(Self::Email),
            "users_username_key" => Some(Self::Username),
            _ => None,
        }
    }

    /// The problem for a request whose body has the field `email` or `username`.
    pub fn problem(self) -> Problem {
        let (kind, pointer) = match self {
            Self::Email => (&kind::EMAIL_TAKEN, "/email"),
            Self::Username => (&kind::USERNAME_TAKEN, "/username"),
        };
        Problem::new(kind).field(pointer, "taken", "is taken")
    }
}

/// The part of an account that a log-in is checked against.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct Credentials {
    pub id: UserId,
    pub password_hash: String,
    #[diesel(select_expression = users::disabled_at.is_not_null())]
    pub disabled: bool,
}

/// Inserts an account.
///
/// # Errors
/// [`Taken::by`] recognises an address or username that another account has.
pub fn insert(conn: &mut PgConnection, user: &NewUser) -> QueryResult<User> {
    let email = (users::email.eq(user.email.given()), users::email_canonical.eq(user.email.canonical()));
    diesel::insert_into(users::table).values((user, email)).returning(User::as_returning()).get_result(conn)
}

/// Inserts accounts with one statement.
///
/// # Errors
/// As [`insert`].
pub fn insert_all(conn: &mut PgConnection, users: &[NewUser]) -> QueryResult<()> {
    let email = |user: &NewUser| {
        (
            users::email.eq(user.email.given().to_owned()),
            users::email_canonical.eq(user.email.canonical().to_owned()),
        )
    };
    let rows: Vec<_> = users.iter().map(|user| (user, email(user))).collect();
    diesel::insert_into(users::table).values(rows).execute(conn)?;
    Ok(())
}

/// Returns which of these canonical addresses and usernames accounts have. Only a hint: another request may take one
/// before they are inserted.
pub fn find_taken(
    conn: &mut PgConnection,
    emails: &[&str],
    usernames: &[&str],
) -> QueryResult<HashSet<String>> {
    let owned = users::table.filter(users::email_canonical.eq_any(emails)).select(users::email_canonical);
    let mut taken: HashSet<String> = owned.load(conn)?.into_iter().collect();
    let named = users::table
        .filter(users::username_canonical.eq_any(usernames))
        .select(users::username_canonical.assume_not_null());
    taken.extend(named.load::<String>(conn)?);
    Ok(taken)
}

pub fn find_credentials(conn: &mut PgConnection, login: &Login) -> QueryResult<Option<Credentials>> {
    let query = users::table.select(Credentials::as_select()).into_boxed();
    let name = login.canonical();
    let query = match login {
        Login::Email(_) => query.filter(users::email_canonical.eq(name)),
        Login::Username(_) => query.filter(users::username_canonical.eq(name)),
    };
    query.first(conn).optional()
}

pub fn find_hash(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<String>> {
    users::table.find(id).select(users::password_hash).first(conn).optional()
}

pub(super) fn find(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<User>> {
    users::table.find(id).select(User::as_select()).first(conn).optional()
}

pub(super) fn find_for_update(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<User>> {
    users::table.find(id).select(User::as_select()).for_update().first(conn).optional()
}

/// A log-in that was counted.
#[derive(Queryable, Clone, Copy, Debug)]
pub struct CountedLogin {
    pub role: Role,
    /// Whether it is the first one of the account.
    pub is_first: bool,
}

/// Counts a log-in, and remembers when and from where it and the one before were. Returns None if the account
/// was disabled, deleted or given another password in the meantime. Locks the row.
pub fn count_login(
    conn: &mut PgConnection,
    user: &Credentials,
    address: IpAddr,
    now: DateTime<Utc>,
) -> QueryResult<Option<CountedLogin>> {
    // The version stays the same: the user sees no change that another one could overwrite.
    diesel::update(users::table.find(user.id))
        .filter(users::password_hash.eq(&user.password_hash))
        .filter(users::disabled_at.is_null().and(users::deleted_at.is_null()))
        .set((
            users::login_count.eq(users::login_count + 1),
            users::last_login_at.eq(users::current_login_at),
            users::last_login_address.eq(users::current_login_address),
            users::current_login_at.eq(now),
            users::current_login_address.eq(IpNet::from(address)),
        ))
        .returning((users::role, users::login_count.eq(1)))
        .get_result(conn)
        .optional()
}

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub email: Option<EmailAddress>,
    pub role: Option<Role>,
    /// None for all that are not deleted.
    pub status: Option<Status>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// Those who have not logged in since; a user who never did counts from the registration.
    pub last_login_before: Option<DateTime<Utc>>,
    /// Start of an email address, username or name, in any case.
    pub prefix: Option<String>,
}

/// Lists accounts in the order of registration, from the one behind `after` on.
pub(super) fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    after: Option<UserId>,
    limit: i64,
) -> QueryResult<Vec<User>> {
    let mut query = users::table.select(User::as_select()).order(users::id).limit(limit).into_boxed();
    query = match filter.status {
        None => query.filter(users::deleted_at.is_null()),
        Some(status) => query.filter(sql::<Text>(STATUS).eq(status)).filter(narrow(status)),
    };
    // By id, whose order is that of registration.
    if let Some(after) = filter.created_after {
        query = query.filter(users::id.ge(UserId(least_id_at(after))));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(users::id.lt(UserId(least_id_at(before))));
    }
    if let Some(before) = filter.last_login_before {
        query = query.filter(
            sql::<Bool>("coalesce(users.current_login_at, users.created_at) < ")
                .bind::<Timestamptz, _>(before),
        );
    }
    if let Some(email) = &filter.email {
        query = query.filter(users::email_canonical.eq(email.canonical().to_owned()));
    }
    if let Some(role) = filter.role {
        query = query.filter(users::role.eq(role));
    }
    if let Some(prefix) = &filter.prefix {
        let pattern = like_prefix(&prefix.to_lowercase());
        query = query.filter(
            users::email_canonical
                .like(pattern.clone())
                .or(users::username_canonical.like(pattern.clone()))
                .or(sql::<Nullable<Bool>>("lower(name) LIKE ").bind::<Text, _>(pattern)),
        );
    }
    if let Some(after) = after {
        query = query.filter(users::id.gt(after));
    }
    query.load(conn)
}

/// Repeats the main condition of a status, so that its partial index serves.
fn narrow(status: Status) -> Box<dyn BoxableExpression<users::table, Pg, SqlType = Bool>> {
    match status {
        Status::Active => Box::new(users::deleted_at.is_null()),
        Status::Unconfirmed => Box::new(users::email_confirmed_at.is_null()),
        Status::Invited => Box::new(users::password_hash.eq(sql::<Text>("'!'"))),
        Status::Disabled => Box::new(users::disabled_at.is_not_null()),
        Status::Deleted => Box::new(users::deleted_at.is_not_null()),
    }
}

fn like_prefix(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    escaped + "%"
}

/// A change to one's own account: outer None leaves a field as it is, inner None clears it.
#[derive(Debug, Default)]
pub(super) struct ProfileChange {
    pub name: Option<Option<String>>,
    pub username: Option<Option<String>>,
}

impl ProfileChange {
    /// Whether anything is different afterwards.
    pub fn changes(&self, user: &User) -> bool {
        let name = self.name.as_ref().map(|name| name.as_deref().map(str::trim));
        name.is_some_and(|name| name != user.name.as_deref())
            || self.username.as_ref().is_some_and(|username| *username != user.username)
    }
}

pub(super) fn update(
    conn: &mut PgConnection,
    id: UserId,
    change: ProfileChange,
    now: DateTime<Utc>,
) -> QueryResult<User> {
    let name = change.name.map(|name| users::name.eq(name.map(|name| name.trim().to_owned())));
    let username = change.username.map(|username| {
        let canonical = username.as_deref().map(str::to_ascii_lowercase);
        (users::username.eq(username), users::username_canonical.eq(canonical))
    });
    diesel::update(users::table.find(id))
        .set((name, username, users::version.eq(users::version + 1), users::updated_at.eq(now)))
        .returning(User::as_returning())
        .get_result(conn)
}

/// Deletes the account with everything that belongs to it.
pub fn delete(conn: &mut PgConnection, id: UserId) -> QueryResult<()> {
    diesel::delete(users::table.find(id)).execute(conn)?;
    Ok(())
}

/// Replaces a hash of an outdated cost after a log-in. The version stays the same, since the user sees no change.
pub fn set_password_hash(conn: &mut PgConnection, id: UserId, old: &str, new: &str) -> QueryResult<()> {
    // Only if the password was not changed in the meantime.
    let unchanged = users::table.find(id).filter(users::password_hash.eq(old));
    diesel::update(unchanged).set(users::password_hash.eq(new)).execute(conn)?;
    Ok(())
}

/// Makes an account an admin, and enables it. The caller ends its sessions, whose tokens carry the role.
pub fn promote(conn: &mut PgConnection, id: UserId) -> QueryResult<()> {
    let promoted = (
        users::role.eq(Role::Admin),
        users::disabled_at.eq(None::<DateTime<Utc>>),
        users::disabled_reason.eq(None::<String>),
        users::version.eq(users::version + 1),
    );
    diesel::update(users::table.find(id)).set(promoted).execute(conn)?;
    Ok(())
}
