//! Stores API keys. Only a hash of the key is stored.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Date},
};

use super::{
    super::role::Role,
    scope::{Scope, Scopes},
    secret::{Digest, NewSecret},
};
use crate::db::{
    ApiKeyId, UserId,
    schema::{api_key_usage, api_keys, users},
};

/// Maximum number of keys of a user that are not revoked.
pub const MAX_KEYS: i64 = 20;
/// Revoked keys of a user that are kept.
const MAX_REVOKED: i64 = 20;
/// How long revoked and expired keys are kept, and the counts of requests.
const RETENTION: TimeDelta = TimeDelta::days(30);
/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// A key that is not revoked.
#[derive(Queryable, Selectable, Clone, Debug)]
#[diesel(table_name = api_keys)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    pub prefix: String,
    pub scopes: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A key that is neither revoked nor that of a disabled or deleted user.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedKey {
    pub id: ApiKeyId,
    pub user: UserId,
    pub scopes: Scopes,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key to insert.
#[derive(Debug)]
pub struct NewKey {
    pub id: ApiKeyId,
    pub user: UserId,
    pub name: String,
    pub scopes: Scopes,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// Keys that a transaction has revoked. Pass them to [`ApiKeys::forget`](super::ApiKeys::forget) after the commit, so
/// that this server refuses them from the next request on. Other servers are notified by the commit.
#[must_use = "revoked keys have to be refused"]
#[derive(Debug, Default)]
pub struct RevokedKeys(pub(super) Vec<Digest>);

impl RevokedKeys {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Leaves the refusal to the notification, in a process that serves no requests.
    pub fn leave_to_servers(self) {}
}

/// Inserts a key; None if the user has [`MAX_KEYS`]. The caller has locked the user's row.
pub fn insert(conn: &mut PgConnection, key: &NewKey, secret: &NewSecret) -> QueryResult<Option<ApiKey>> {
    if count(conn, key.user)? >= MAX_KEYS {
        return Ok(None);
    }
    let oldest: Vec<ApiKeyId> = api_keys::table
        .filter(api_keys::user_id.eq(key.user).and(api_keys::revoked_at.is_not_null()))
        .order(api_keys::revoked_at.desc())
        .offset(MAX_REVOKED)
        .select(api_keys::id)
        .load(conn)?;
    diesel::delete(api_keys::table.filter(api_keys::id.eq_any(oldest))).execute(conn)?;
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id),
            api_keys::user_id.eq(key.user),
            api_keys::name.eq(&key.name),
            api_keys::prefix.eq(&secret.shown),
            api_keys::secret_hash.eq(secret.digest.as_slice()),
            api_keys::scopes.eq(key.scopes.to_text()),
            api_keys::created_at.eq(key.created_at),
            api_keys::expires_at.eq(key.expires_at),
        ))
        .returning(ApiKey::as_returning())
        .get_result(conn)
        .map(Some)
}

/// The number of keys of a user that are not revoked.
pub fn count(conn: &mut PgConnection, user: UserId) -> QueryResult<i64> {
    let own = api_keys::user_id.eq(user).and(api_keys::revoked_at.is_null());
    api_keys::table.filter(own).count().get_result(conn)
}

/// Lists the keys of a user that are not revoked, the oldest first.
pub fn list(conn: &mut PgConnection, user: UserId) -> QueryResult<Vec<ApiKey>> {
    api_keys::table
        .filter(api_keys::user_id.eq(user).and(api_keys::revoked_at.is_null()))
        .order(api_keys::id)
        .limit(MAX_KEYS)
        .select(ApiKey::as_select())
        .load(conn)
}

/// Finds the key with this hash, unless it is revoked or its user is disabled or deleted. It may have expired.
pub fn find(conn: &mut PgConnection, digest: &Digest) -> QueryResult<Option<VerifiedKey>> {
    let columns = (
        api_keys::id,
        api_keys::user_id,
        api_keys::scopes,
        api_keys::created_at,
        api_keys::expires_at,
        users::role,
    );
    let found = api_keys::table
        .inner_join(users::table)
        .filter(api_keys::secret_hash.eq(digest.as_slice()).and(api_keys::revoked_at.is_null()))
        .filter(users::disabled_at.is_null().and(users::deleted_at.is_null()))
        .select(columns)
        .first::<(ApiKeyId, UserId, String, DateTime<Utc>, Option<DateTime<Utc>>, Role)>(conn)
        .optional()?;
    Ok(found.map(|(id, user, scopes, created_at, expires_at, role)| {
        let all = Scopes::read(&scopes);
        let scopes = if role == Role::Admin { all } else { all.without_those_for_admins() };
        VerifiedKey { id, user, scopes, created_at, expires_at }
    }))
}

/// Revokes a key of a user; None if there is no such key that is not revoked.
pub fn revoke(
    conn: &mut PgConnection,
    user: UserId,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> QueryResult<Option<(ApiKey, RevokedKeys)>> {
    let own = api_keys::table.find(id).filter(api_keys::user_id.eq(user).and(api_keys::revoked_at.is_null()));
    let revoked: Option<(ApiKey, Vec<u8>)> = diesel::update(own)
        .set(api_keys::revoked_at.eq(now))
        .returning((ApiKey::as_returning(), api_keys::secret_hash))
        .get_result(conn)
        .optional()?;
    Ok(revoked.map(|(key, digest)| (key, RevokedKeys(digests(vec![digest])))))
}

/// Revokes the key with this hash, for a client that has it; None if there is no such key that is not revoked.
pub fn revoke_found(
    conn: &mut PgConnection,
    digest: &Digest,
    now: DateTime<Utc>,
) -> QueryResult<Option<(UserId, ApiKey, RevokedKeys)>> {
    let found = api_keys::secret_hash.eq(digest.as_slice()).and(api_keys::revoked_at.is_null());
    let revoked = diesel::update(api_keys::table.filter(found))
        .set(api_keys::revoked_at.eq(now))
        .returning((api_keys::user_id, ApiKey::as_returning()))
        .get_result(conn)
        .optional()?;
    Ok(revoked.map(|(user, key)| (user, key, RevokedKeys(vec![*digest]))))
}

/// Revokes the keys of a user who is no longer an admin that have a scope for admins.
pub fn revoke_those_for_admins(
    conn: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> QueryResult<RevokedKeys> {
    let live = api_keys::user_id.eq(user).and(api_keys::revoked_at.is_null());
    let keys: Vec<(ApiKeyId, String)> = api_keys::table
        .filter(live)
        .order(api_keys::id)
        .select((api_keys::id, api_keys::scopes))
        .for_no_key_update()
        .load(conn)?;
    let for_admins = |scopes: &str| Scopes::read(scopes).iter().any(Scope::is_for_admins);
    let keys =
        keys.into_iter().filter(|(_, scopes)| for_admins(scopes)).map(|(id, _)| id).collect::<Vec<_>>();
    let revoked = diesel::update(api_keys::table.filter(api_keys::id.eq_any(keys)))
        .set(api_keys::revoked_at.eq(now))
        .returning(api_keys::secret_hash)
        .get_results(conn)?;
    Ok(RevokedKeys(digests(revoked)))
}

/// Revokes the keys of all users, at most 1000. Returns their number.
pub fn revoke_every(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<usize> {
    let some: Vec<ApiKeyId> = api_keys::table
        .filter(api_keys::revoked_at.is_null())
        .order(api_keys::id)
        .limit(BATCH)
        .select(api_keys::id)
        .for_no_key_update()
        .load(conn)?;
    diesel::update(api_keys::table.filter(api_keys::id.eq_any(some)))
        .set(api_keys::revoked_at.eq(now))
        .execute(conn)
}

/// Revokes all keys of a user: with the account, or because another person may have created them.
pub fn revoke_all(conn: &mut PgConnection, user: UserId, now: DateTime<Utc>) -> QueryResult<RevokedKeys> {
    // In the order in which the counts of requests are written, so that neither waits for the other.
    let own: Vec<ApiKeyId> = api_keys::table
        .filter(api_keys::user_id.eq(user).and(api_keys::revoked_at.is_null()))
        .order(api_keys::id)
        .select(api_keys::id)
        .for_no_key_update()
        .load(conn)?;
    let own = api_keys::table.filter(api_keys::id.eq_any(own).and(api_keys::revoked_at.is_null()));
    let revoked = diesel::update(own)
        .set(api_keys::revoked_at.eq(now))
        .returning(api_keys::secret_hash)
        .get_results(conn)?;
    Ok(RevokedKeys(digests(revoked)))
}

fn digests(stored: Vec<Vec<u8>>) -> Vec<Digest> {
    stored.into_iter().filter_map(|bytes| bytes.try_into().ok()).collect()
}

/// The number of requests with a key on one day.
#[derive(Queryable, Selectable, Clone, Copy, Debug)]
#[diesel(table_name = api_key_usage)]
pub struct DayOfUse {
    pub day: NaiveDate,
    pub requests: i64,
}

/// Returns the requests of the last 30 days, the newest first; None if the user has no such key that is not revoked.
pub fn usage(
    conn: &mut PgConnection,
    user: UserId,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> QueryResult<Option<Vec<DayOfUse>>> {
    let own = api_keys::table.find(id).filter(api_keys::user_id.eq(user).and(api_keys::revoked_at.is_null()));
    let found: Option<ApiKeyId> = own.select(api_keys::id).first(conn).optional()?;
    if found.is_none() {
        return Ok(None);
    }
    api_key_usage::table
        .filter(api_key_usage::key_id.eq(id).and(api_key_usage::day.gt((now - RETENTION).date_naive())))
        .order(api_key_usage::day.desc())
        .select(DayOfUse::as_select())
        .load(conn)
        .map(Some)
}

/// Deletes at most 1000 keys that were revoked or expired more than 30 days ago, and as many old counts. Returns true if
/// there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let limit = now - RETENTION;
    let old: Vec<ApiKeyId> = api_keys::table
        .filter(api_keys::revoked_at.lt(limit).or(api_keys::expires_at.lt(limit)))
        .select(api_keys::id)
        .order(api_keys::id)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .load(conn)?;
    let keys = diesel::delete(api_keys::table.filter(api_keys::id.eq_any(old))).execute(conn)?;
    let days = sql_query(
        "DELETE FROM api_key_usage WHERE (key_id, day) IN (SELECT key_id, day FROM api_key_usage WHERE day < $1 \
         ORDER BY key_id, day LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Date, _>(limit.date_naive())
    .bind::<BigInt, _>(BATCH)
    .execute(conn)?;
    let batch = usize::try_from(BATCH).expect("small");
    Ok(keys >= batch || days >= batch)
}
