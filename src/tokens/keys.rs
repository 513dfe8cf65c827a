//! Keeps the key ring: keys in the database, encrypted with `SECRET_KEY`, shared by all replicas.
//!
//! A key is first `next` (published, not used), then `current` (signs), then `retired` (only verifies). Every replica
//! and every client that caches the JWKS knows a key before it signs the first token, so a rotation causes no 401. A
//! key that may have been stolen is revoked: its row is deleted, and every token that it signed becomes invalid.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use arc_swap::ArcSwap;
use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    Connection, PgConnection, QueryResult, RunQueryDsl,
    deserialize::FromSqlRow,
    dsl::{exists, sql},
    expression::AsExpression,
    prelude::*,
    select, sql_query,
    sql_types::{Bool, Text},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};

use super::seal::{Sealer, derive_key};
use crate::db::{Change, Follow, schema::signing_keys, text_enum};

const CHANNEL: &str = "mintage_signing_keys";
/// How long a key is published before it may sign: twice as long as the JWKS may be cached.
const MIN_PUBLISHED: TimeDelta = TimeDelta::minutes(10);

#[derive(
    AsExpression, FromSqlRow, Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "lowercase")]
pub enum KeyState {
    Next,
    Current,
    Retired,
}

text_enum!(KeyState);

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_keys)]
pub struct KeyRow {
    pub kid: String,
    pub state: KeyState,
    private_key: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

/// The decrypted keys.
#[derive(Default)]
pub(super) struct Ring {
    /// Counts the changes of the ring.
    pub version: u64,
    /// The id of the key that signs; None if this server cannot decrypt any key.
    pub kid: Option<String>,
    pub keys: HashMap<String, Arc<Key>>,
    pub jwks: JwkSet,
    /// Ids of keys that this server cannot decrypt. It cannot verify the tokens that they signed.
    pub sealed: Vec<String>,
}

/// The keys that are made from one row.
pub(super) struct Key {
    pub public: Jwk,
    /// Ed25519, for access tokens: other services verify them.
    pub access: Pair,
    /// HMAC-SHA-256, for refresh tokens: only this server verifies them, and it costs a fiftieth.
    pub refresh: Pair,
}

pub(super) struct Pair {
    pub signing: EncodingKey,
    pub verifying: DecodingKey,
}

impl Ring {
    pub fn signing(&self) -> Option<(&str, &Key)> {
        let kid = self.kid.as_deref()?;
        Some((kid, self.keys.get(kid)?))
    }

    fn add(&mut self, kid: String, key: Arc<Key>) {
        self.jwks.keys.push(key.public.clone());
        self.keys.insert(kid, key);
    }
}

/// The copy in memory of the `signing_keys` table.
pub struct KeyRing {
    sealer: Arc<Sealer>,
    ring: ArcSwap<Ring>,
}

impl KeyRing {
    pub fn load(conn: &mut PgConnection, sealer: Arc<Sealer>) -> Result<Self> {
        let ring = ArcSwap::from_pointee(read_whole(conn, &sealer)?);
        Ok(Self { sealer, ring })
    }

    pub(super) fn replace(&self, mut ring: Ring) {
        ring.version = self.ring.load().version + 1;
        self.ring.store(Arc::new(ring));
    }

    /// Whether this server can sign tokens. With the wrong `SECRET_KEY` it cannot decrypt the keys.
    pub fn can_sign(&self) -> bool {
        self.current().signing().is_some()
    }

    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.ring.load()
    }
}

impl Follow for KeyRing {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn load(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>> {
        let (ring, faults) = read(conn, &self.sealer, &self.current().keys)?;
        // The other keys still work. An operator has to mend this one.
        for fault in faults {
            tracing::error!(error = format!("{fault:#}"), "signing key cannot be used");
        }
        Ok(Box::new(|| self.replace(ring)))
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<Change<'_>> {
        Follow::load(self, conn)
    }
}

/// Creates the first two keys if there are none. Replicas that start together create them once.
pub fn create_if_absent(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    conn.transaction(|conn| {
        lock(conn)?;
        if select(exists(signing_keys::table.select(signing_keys::kid))).get_result(conn)? {
            return Ok(());
        }
        insert_first(conn, sealer, now)
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
        diesel::delete(signing_keys::table).execute(conn)?;
        insert_first(conn, sealer, now)?;
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
        diesel::update(signing_keys::table.filter(signing_keys::state.eq(KeyState::Current)))
            .set((signing_keys::state.eq(KeyState::Retired), signing_keys::retired_at.eq(now)))
            .execute(conn)?;
        let (kid, _) = promote_next(conn)?;
        insert(conn, sealer, KeyState::Next, now)?;
        read_whole(conn, sealer)?;
        notify(conn)?;
        Ok(kid)
    })
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
        let state = diesel::delete(signing_keys::table.find(kid))
            .returning(signing_keys::state)
            .get_result::<KeyState>(conn)
            .optional()?
            .with_context(|| format!("there is no signing key {kid:?}: `mintage keys list` prints them"))?;
        let promoted = if state == KeyState::Current { Some(promote_next(conn)?) } else { None };
        if state != KeyState::Retired {
            insert(conn, sealer, KeyState::Next, now)?;
        }
        read_whole(conn, sealer)?;
        notify(conn)?;
        let may_be_unknown = promoted.as_ref().is_some_and(|(_, created)| *created > now - MIN_PUBLISHED);
        Ok(Revoked { state, signs_now: promoted.map(|(kid, _)| kid), may_be_unknown })
    })
}

/// Makes the next key the current one. Returns its id and when it was created.
fn promote_next(conn: &mut PgConnection) -> Result<(String, DateTime<Utc>)> {
    diesel::update(signing_keys::table.filter(signing_keys::state.eq(KeyState::Next)))
        .set(signing_keys::state.eq(KeyState::Current))
        .returning((signing_keys::kid, signing_keys::created_at))
        .get_result::<(String, DateTime<Utc>)>(conn)
        .context("there is no next key: start the server once")
}

/// Lists the keys, the newest first.
pub fn list_keys(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table.order(signing_keys::created_at.desc()).select(KeyRow::as_select()).load(conn)
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

fn insert_first(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    insert(conn, sealer, KeyState::Current, now)?;
    insert(conn, sealer, KeyState::Next, now)
}

fn insert(conn: &mut PgConnection, sealer: &Sealer, state: KeyState, now: DateTime<Utc>) -> Result<()> {
    let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("the key cannot be generated"))?;
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("the key cannot be encoded"))?;
    let kid = public_jwk(pkcs8.as_ref())?.common.key_id.expect("set below");
    let sealed = sealer.seal(pkcs8.as_ref(), &kid).map_err(|_| anyhow!("the key cannot be encrypted"))?;
    let row = KeyRow { kid, state, private_key: sealed, created_at: now, retired_at: None };
    diesel::insert_into(signing_keys::table).values(row).execute(conn)?;
    Ok(())
}

/// Reads the ring, and returns with it why keys are missing. Keys that are `known` are not decrypted again.
///
/// Only keys in the table are in the ring. So a revoked key is removed even on a server that cannot decrypt another
/// key, for example because it still has the old `SECRET_KEY`.
fn read(
    conn: &mut PgConnection,
    sealer: &Sealer,
    known: &HashMap<String, Arc<Key>>,
) -> QueryResult<(Ring, Vec<anyhow::Error>)> {
    let (mut ring, mut faults, mut has_current) = (Ring::default(), Vec::new(), false);
    for row in list_keys(conn)? {
        has_current |= row.state == KeyState::Current;
        let key = match known.get(&row.kid) {
            Some(key) => key.clone(),
            None => match open(conn, sealer, &row)? {
                Ok(key) => Arc::new(key),
                Err(fault) => {
                    ring.sealed.push(row.kid);
                    faults.push(fault);
                    continue;
                }
            },
        };
        // Without a usable current key, the newest of the others signs: all servers accept it.
        if row.state == KeyState::Current || ring.kid.is_none() {
            ring.kid = Some(row.kid.clone());
        }
        ring.add(row.kid, key);
    }
    if !has_current {
        faults.push(anyhow!("the key ring has no current key"));
    }
    Ok((ring, faults))
}

/// Like [`read`], but fails if a key is missing.
fn read_whole(conn: &mut PgConnection, sealer: &Sealer) -> Result<Ring> {
    let (ring, faults) = read(conn, sealer, &HashMap::new())?;
    faults.into_iter().next().map_or(Ok(ring), Err)
}

/// Decrypts a key. If it was encrypted with the previous secret key, it is encrypted again with the current one.
fn open(conn: &mut PgConnection, sealer: &Sealer, row: &KeyRow) -> QueryResult<Result<Key>> {
    let Ok(opened) = sealer.open(&row.private_key, &row.kid) else {
        return Ok(Err(anyhow!(
            "the signing key {} was encrypted with another SECRET_KEY: set that one \
             (`new,old` rotates it), or, if it is lost, run `mintage sessions end --all`, which \
             makes new keys and ends all sessions",
            row.kid
        )));
    };
    if opened.outdated {
        let Ok(sealed) = sealer.seal(&opened.plain, &row.kid) else {
            return Ok(Err(anyhow!("the signing key {} cannot be encrypted", row.kid)));
        };
        let update = diesel::update(signing_keys::table.find(&row.kid));
        update.set(signing_keys::private_key.eq(sealed)).execute(conn)?;
        tracing::info!(kid = row.kid, "signing key encrypted with the new SECRET_KEY");
    }
    Ok(Key::new(&opened.plain))
}

impl Key {
    fn new(pkcs8: &[u8]) -> Result<Self> {
        let public = public_jwk(pkcs8)?;
        let access =
            Pair { signing: EncodingKey::from_ed_der(pkcs8), verifying: DecodingKey::from_jwk(&public)? };
        // Derived from the private key, so that it is rotated and encrypted together with it.
        let secret = derive_key(pkcs8, b"refresh tokens v1");
        let refresh =
            Pair { signing: EncodingKey::from_secret(&secret), verifying: DecodingKey::from_secret(&secret) };
        Ok(Self { public, access, refresh })
    }
}

/// Returns the public half (RFC 8037). Its thumbprint (RFC 7638) is the key's id.
fn public_jwk(pkcs8: &[u8]) -> Result<Jwk> {
    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_ed_der(pkcs8), Algorithm::EdDSA)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_algorithm = Some(KeyAlgorithm::EdDSA);
    Ok(jwk)
}

#[cfg(test)]
pub(super) mod fake {
    //! Makes rings without a database.

    use super::*;

    pub(in crate::tokens) fn pair() -> Vec<u8> {
        Ed25519KeyPair::generate().expect("key").to_pkcs8v1().expect("PKCS#8").as_ref().to_vec()
    }

    /// The first key signs, all verify.
    pub(in crate::tokens) fn ring(keys: &[Vec<u8>]) -> Ring {
        let mut ring = Ring::default();
        for pkcs8 in keys {
            let key = Key::new(pkcs8).expect("key");
            let kid = key.public.common.key_id.clone().expect("kid");
            ring.kid.get_or_insert(kid.clone());
            ring.add(kid, Arc::new(key));
        }
        ring
    }

    pub(in crate::tokens) fn key_ring(keys: &[Vec<u8>]) -> KeyRing {
        let secret = crate::config::SecretKey { current: crate::config::Secret::new("x"), previous: None };
        KeyRing { sealer: Arc::new(Sealer::new(&secret)), ring: ArcSwap::from_pointee(ring(keys)) }
    }
}
