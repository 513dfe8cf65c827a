//! Stores registrations until they are confirmed.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};
use uuid::Uuid;

use crate::{
    db::schema::registrations,
    users::{EmailAddress, Login},
};

/// Pending registrations that a log-in is compared with. The limits on mails keep their number lower.
const MAX_COMPARED: i64 = 100;
/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// A registration that is not confirmed yet.
#[derive(Queryable, Selectable, Insertable, Clone)]
#[diesel(table_name = registrations)]
pub(super) struct Registration {
    pub id: Uuid,
    #[diesel(select_expression = (registrations::email, registrations::email_canonical), skip_insertion)]
    pub email: EmailAddress,
    pub username: Option<String>,
    pub username_canonical: Option<String>,
    pub name: Option<String>,
    pub password_hash: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

impl Registration {
    pub fn new(
        email: EmailAddress,
        name: Option<String>,
        username: Option<String>,
        password_hash: String,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            email,
            username_canonical: username.as_deref().map(str::to_ascii_lowercase),
            username,
            name,
            password_hash,
            created_at: now,
            expires_at,
        }
    }
}

pub(super) fn insert(conn: &mut PgConnection, registration: &Registration) -> QueryResult<()> {
    let email = (
        registrations::email.eq(registration.email.given()),
        registrations::email_canonical.eq(registration.email.canonical()),
    );
    diesel::insert_into(registrations::table).values((registration, email)).execute(conn)?;
    Ok(())
}

/// Returns the password hashes of the pending registrations with this address or username, the newest first; at most
/// [`MAX_COMPARED`].
pub(super) fn find_hashes(
    conn: &mut PgConnection,
    login: &Login,
    now: DateTime<Utc>,
) -> QueryResult<Vec<String>> {
    let live = registrations::table.filter(registrations::expires_at.gt(now)).into_boxed();
    let name = login.canonical();
    let named = match login {
        Login::Email(_) => live.filter(registrations::email_canonical.eq(name)),
        Login::Username(_) => live.filter(registrations::username_canonical.eq(name)),
    };
    named.select(registrations::password_hash).order(registrations::id.desc()).limit(MAX_COMPARED).load(conn)
}

/// Locks and returns all registrations of this address, so that confirmations run one after the other.
pub(super) fn lock_all(conn: &mut PgConnection, email: &EmailAddress) -> QueryResult<Vec<Registration>> {
    registrations::table
        .filter(registrations::email_canonical.eq(email.canonical()))
        .select(Registration::as_select())
        .order(registrations::id)
        .for_update()
        .load(conn)
}

/// Deletes registrations, and with them their challenges.
pub(super) fn delete(conn: &mut PgConnection, ended: &[Registration]) -> QueryResult<()> {
    let ids: Vec<Uuid> = ended.iter().map(|one| one.id).collect();
    diesel::delete(registrations::table.filter(registrations::id.eq_any(ids))).execute(conn)?;
    Ok(())
}

/// Deletes at most [`BATCH`] registrations that were not confirmed in time. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let expired: Vec<Uuid> = registrations::table
        .filter(registrations::expires_at.lt(now))
        .select(registrations::id)
        .order(registrations::id)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .load(conn)?;
    let old = registrations::table.filter(registrations::id.eq_any(expired));
    let count = diesel::delete(old).execute(conn)?;
    Ok(count >= usize::try_from(BATCH).expect("small"))
}
