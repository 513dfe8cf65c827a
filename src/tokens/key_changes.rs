//! Changes the key ring: creates, rotates and revokes signing keys.
//!
//! Everything but the schedule keeps the algorithm of the ring, so a command needs no `JWT_ALGORITHM`. A key that may have
//! been stolen is revoked: its row is deleted, and every token that it signed becomes invalid.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use diesel::{
    Connection, PgConnection, QueryResult, RunQueryDsl,
    dsl::{exists, sql},
    prelude::*,
    select, sql_query,
    sql_types::{BigInt, Bool, Integer},
};

use super::{
    key::NewKey,
    key_schedule::{Ages, MIN_PUBLISHED, Schedule, Step},
    keys::{ALGORITHM_LOCKS, CHANNEL, KeyRow, KeyState, read_whole},
    seal::Sealer,
};
use crate::{config::SigningAlgorithm, db::schema::signing_keys};

/// Creates the first two keys if there are none. Replicas that start together create them once.
pub fn create_if_absent(
    conn: &mut PgConnection,
    sealer: &Sealer,
    algorithm: SigningAlgorithm,
    now: DateTime<Utc>,
) -> Result<()> {
    conn.transaction(|conn| {
        lock(conn)?;
        if select(exists(signing_keys::table.select(signing_keys::kid))).get_result(conn)? {
            return Ok(());
        }
        insert_first(conn, sealer, algorithm, now)
    })
}

/// Whether the database has keys, which only the `SECRET_KEY` that encrypted them decrypts. Works on a database without
/// tables too.
pub fn has_keys(conn: &mut PgConnection) -> QueryResult<bool> {
    let has_table = select(sql::<Bool>("to_regclass('signing_keys') IS NOT NULL")).get_result(conn)?;
    Ok(has_table && select(exists(signing_keys::table.select(signing_keys::kid))).get_result(conn)?)
}

/// Replaces all keys with two new ones: from then on no server accepts a token issued before. The former keys are not
/// decrypted, so the `SECRET_KEY` that encrypted them may be lost.
pub(super) fn replace_all(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    conn.transaction(|conn| {
        lock(conn)?;
        let algorithm = algorithm_of_next(conn)?;
        diesel::delete(signing_keys::table).execute(conn)?;
        insert_first(conn, sealer, algorithm, now)?;
        Ok(notify(conn)?)
    })
}

/// Promotes the next key to sign, retires the current one, and publishes a new next one. Returns the id of the key that
/// signs.
///
/// # Errors
/// The next key is so new that a client's cached JWKS may lack it, unless `hurry` accepts that; or the database cannot
/// be written.
pub fn rotate(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>, hurry: bool) -> Result<String> {
    conn.transaction(|conn| {
        lock(conn)?;
        let known_by_all = signing_keys::table.filter(
            signing_keys::state.eq(KeyState::Next).and(signing_keys::created_at.le(now - MIN_PUBLISHED)),
        );
        ensure!(
            hurry || select(exists(known_by_all)).get_result(conn)?,
            "the next key is younger than {} minutes, so services that cache the key set may not know \
             it yet: wait, or use --hurry",
            MIN_PUBLISHED.num_minutes()
        );
        let new = NewKey::generate(sealer, algorithm_of_next(conn)?)?;
        retire(conn, KeyState::Current, now)?;
        let (kid, _) = promote_next(conn, now)?.context(NO_NEXT)?;
        insert(conn, new, KeyState::Next, now)?;
        read_whole(conn, sealer)?;
        notify(conn)?;
        Ok(kid)
    })
}

/// What [`keep_schedule`] has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A next key of another algorithm is published.
    Announced(String),
    /// The former next key signs.
    Promoted(String),
}

/// Makes the change that is due, if there is one; call it in a transaction. Servers do this at the same time, and the
/// change is made once. `new` is the key to publish.
///
/// The algorithm changes only when all running servers are set to the same one, so that a deployment that replaces one
/// server after the other changes it once, at its end.
pub fn keep_schedule(
    conn: &mut PgConnection,
    new: NewKey,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> QueryResult<Option<KeyChange>> {
    lock(conn)?;
    let standing = |state: KeyState| {
        signing_keys::table.filter(signing_keys::state.eq(state)).select(KeyRow::as_select())
    };
    let current = standing(KeyState::Current).first(conn).optional()?.map(|row| row.standing());
    let next = standing(KeyState::Next).first(conn).optional()?.map(|row| row.standing());
    let mut schedule = *schedule;
    if !all_are_set_to(conn, schedule.algorithm)? {
        let Some(kept) = next.as_ref().and_then(|next| next.algorithm) else {
            return Ok(None);
        };
        tracing::warn!("servers have different settings of JWT_ALGORITHM: the algorithm is not changed");
        schedule.algorithm = kept;
    }
    if new.algorithm != schedule.algorithm {
        // A server with the setting that the ring has makes the change.
        return Ok(None);
    }
    let change = match schedule.due(&Ages { current, next }, now) {
        None => return Ok(None),
        Some(Step::Announce) => {
            // It is retired, not deleted: a server that cannot decrypt the current key signs with it.
            retire(conn, KeyState::Next, now)?;
            KeyChange::Announced(new.kid.clone())
        }
        Some(Step::Promote) => {
            retire(conn, KeyState::Current, now)?;
            match promote_next(conn, now)? {
                Some((kid, _)) => KeyChange::Promoted(kid),
                None => return Ok(None),
            }
        }
    };
    insert(conn, new, KeyState::Next, now)?;
    notify(conn)?;
    Ok(Some(change))
}

/// Whether every running server is set to this algorithm, by the locks of [`KeyRing`](super::KeyRing).
fn all_are_set_to(conn: &mut PgConnection, algorithm: SigningAlgorithm) -> QueryResult<bool> {
    let others = sql::<BigInt>(
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND database = \
         (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid::bigint = ",
    )
    .bind::<Integer, _>(ALGORITHM_LOCKS)
    .sql(" AND objid::bigint <> ")
    .bind::<Integer, _>(algorithm as i32)
    .sql(")");
    Ok(select(others).get_result::<i64>(conn)? == 0)
}

/// A key that was removed from the ring.
#[derive(Debug)]
pub struct Revoked {
    /// Its state before.
    pub state: KeyState,
    /// If it was the current one: the id of the key that signs from now on.
    pub signs_now: Option<String>,
    /// Whether that key is so new that services, which cache the key set for 5 minutes, may not know it.
    pub may_be_unknown: bool,
}

/// Removes a key from the ring: from then on no server accepts a token that it signed. If it was the current key, the
/// next one signs. If it was the current or the next key, a new next one is published.
///
/// Sessions whose newest refresh token it signed stay in the table until they expire, because the rows do not store
/// which key signed.
///
/// # Errors
/// There is no such key; `sealer` cannot decrypt one of the others; or the database cannot be written.
pub fn revoke(conn: &mut PgConnection, sealer: &Sealer, kid: &str, now: DateTime<Utc>) -> Result<Revoked> {
    conn.transaction(|conn| {
        lock(conn)?;
        let (state, algorithm) = diesel::delete(signing_keys::table.find(kid))
            .returning((signing_keys::state, signing_keys::algorithm))
            .get_result::<(KeyState, String)>(conn)
            .optional()?
            .with_context(|| format!("there is no signing key {kid:?}: `mintage keys list` prints them"))?;
        let algorithm = known(&algorithm);
        let promoted =
            if state == KeyState::Current { Some(promote_next(conn, now)?.context(NO_NEXT)?) } else { None };
        if state != KeyState::Retired {
            // The algorithm of the key that signs next, or did.
            let algorithm = match state {
                KeyState::Current => algorithm_of(conn, KeyState::Current)?,
                _ => algorithm,
            };
            insert(conn, NewKey::generate(sealer, algorithm)?, KeyState::Next, now)?;
        }
        read_whole(conn, sealer)?;
        notify(conn)?;
        let may_be_unknown = promoted.as_ref().is_some_and(|(_, created)| *created > now - MIN_PUBLISHED);
        Ok(Revoked { state, signs_now: promoted.map(|(kid, _)| kid), may_be_unknown })
    })
}

const NO_NEXT: &str = "there is no next key: start the server once";

/// Makes the next key the current one. Returns its id and when it was created.
fn promote_next(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Option<(String, DateTime<Utc>)>> {
    diesel::update(signing_keys::table.filter(signing_keys::state.eq(KeyState::Next)))
        .set((signing_keys::state.eq(KeyState::Current), signing_keys::promoted_at.eq(now)))
        .returning((signing_keys::kid, signing_keys::created_at))
        .get_result(conn)
        .optional()
}

fn retire(conn: &mut PgConnection, state: KeyState, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::update(signing_keys::table.filter(signing_keys::state.eq(state)))
        .set((signing_keys::state.eq(KeyState::Retired), signing_keys::retired_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// The algorithm of the next key, which a key that follows it keeps.
fn algorithm_of_next(conn: &mut PgConnection) -> QueryResult<SigningAlgorithm> {
    algorithm_of(conn, KeyState::Next)
}

fn algorithm_of(conn: &mut PgConnection, state: KeyState) -> QueryResult<SigningAlgorithm> {
    let found = signing_keys::table.filter(signing_keys::state.eq(state)).select(signing_keys::algorithm);
    Ok(known(&found.first::<String>(conn).optional()?.unwrap_or_default()))
}

fn known(algorithm: &str) -> SigningAlgorithm {
    algorithm.parse().unwrap_or_default()
}

/// Deletes keys that retired before `limit`, when all tokens that they signed have expired.
pub fn prune_retired(conn: &mut PgConnection, limit: DateTime<Utc>) -> QueryResult<()> {
    let old = signing_keys::table.filter(signing_keys::retired_at.lt(limit));
    if diesel::delete(old).execute(conn)? > 0 {
        notify(conn)?;
    }
    Ok(())
}

fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("LOCK TABLE signing_keys IN EXCLUSIVE MODE").execute(conn)?;
    Ok(())
}

fn notify(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    Ok(())
}

fn insert_first(
    conn: &mut PgConnection,
    sealer: &Sealer,
    algorithm: SigningAlgorithm,
    now: DateTime<Utc>,
) -> Result<()> {
    insert(conn, NewKey::generate(sealer, algorithm)?, KeyState::Current, now)?;
    Ok(insert(conn, NewKey::generate(sealer, algorithm)?, KeyState::Next, now)?)
}

fn insert(conn: &mut PgConnection, new: NewKey, state: KeyState, now: DateTime<Utc>) -> QueryResult<()> {
    let NewKey { kid, algorithm, sealed } = new;
    let row = KeyRow {
        kid,
        state,
        private_key: sealed,
        created_at: now,
        retired_at: None,
        algorithm: algorithm.as_str().into(),
        promoted_at: (state == KeyState::Current).then_some(now),
    };
    diesel::insert_into(signing_keys::table).values(row).execute(conn)?;
    Ok(())
}
