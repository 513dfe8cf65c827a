//! The key ring: keys in the database, sealed by `SECRET_KEY`, shared by all replicas.
//!
//! A key is `next` (published, not used), then `current` (signs), then `retired` (only
//! verifies). Every replica and every client that caches the JWKS knows a key before it signs
//! the first token, so a rotation causes no 401.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use arc_swap::ArcSwap;
use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    Connection, PgConnection, QueryResult, RunQueryDsl, deserialize::FromSqlRow, dsl::exists,
    expression::AsExpression, prelude::*, select, sql_query, sql_types::Text,
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};

use super::seal::{Sealer, derive_key};
use crate::db::{Follow, schema::signing_keys, text_enum};

const CHANNEL: &str = "mintage_signing_keys";
/// Twice as long as the JWKS may be cached.
const PUBLISHED_FOR: TimeDelta = TimeDelta::minutes(10);

#[derive(AsExpression, FromSqlRow, Clone, Copy, Debug, PartialEq, Eq)]
#[diesel(sql_type = Text)]
pub enum KeyState {
    Next,
    Current,
    Retired,
}

text_enum!(KeyState { Next = "next", Current = "current", Retired = "retired" });

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_keys)]
pub struct KeyRow {
    pub kid: String,
    pub state: KeyState,
    private_key: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

/// The usable form of the ring.
pub(super) struct Ring {
    /// Another number for every change.
    pub version: u64,
    /// Which of the keys signs.
    pub kid: String,
    pub keys: HashMap<String, Key>,
    pub jwks: JwkSet,
}

/// What one row of the ring is used for.
pub(super) struct Key {
    /// Ed25519, for access tokens: other services verify them.
    pub access: Pair,
    /// HMAC-SHA-256, for refresh tokens: nobody but us reads them, and it costs a fiftieth.
    pub refresh: Pair,
}

pub(super) struct Pair {
    pub signing: EncodingKey,
    pub verifying: DecodingKey,
}

impl Ring {
    pub fn signing(&self) -> &Key {
        &self.keys[&self.kid]
    }
}

/// A view in memory of the `signing_keys` table.
pub struct KeyRing {
    sealer: Arc<Sealer>,
    ring: ArcSwap<Ring>,
}

impl KeyRing {
    /// # Errors
    /// The keys cannot be read or opened.
    pub fn load(conn: &mut PgConnection, sealer: Arc<Sealer>) -> Result<Self> {
        let ring = ArcSwap::from_pointee(read(conn, &sealer)?);
        Ok(Self { sealer, ring })
    }

    pub(super) fn replace(&self, mut ring: Ring) {
        ring.version = self.ring.load().version + 1;
        self.ring.store(Arc::new(ring));
    }

    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.ring.load()
    }
}

impl Follow for KeyRing {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn load(&self, conn: &mut PgConnection) -> QueryResult<()> {
        match read(conn, &self.sealer) {
            Ok(ring) => self.replace(ring),
            // The ring we have goes on working; an operator has to look at this.
            Err(error) => tracing::error!(error = format!("{error:#}"), "cannot read the key ring"),
        }
        Ok(())
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<()> {
        Follow::load(self, conn)
    }
}

/// Creates the first two keys; replicas that start together create them once.
///
/// # Errors
/// The database cannot be written.
pub fn create_if_absent(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    conn.transaction(|conn| {
        lock(conn)?;
        if select(exists(signing_keys::table.select(signing_keys::kid))).get_result(conn)? {
            return Ok(());
        }
        for state in [KeyState::Current, KeyState::Next] {
            insert(conn, sealer, state, now)?;
        }
        Ok(())
    })
}

/// The next key starts to sign, the current one retires, and a new next one is published.
///
/// # Errors
/// The next key is so new that a client's cached JWKS may lack it, unless `hurry` accepts that;
/// or the database cannot be written.
pub fn rotate(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>, hurry: bool) -> Result<String> {
    conn.transaction(|conn| {
        lock(conn)?;
        let known_by_all = signing_keys::table.filter(
            signing_keys::state.eq(KeyState::Next).and(signing_keys::created_at.le(now - PUBLISHED_FOR)),
        );
        ensure!(
            hurry || select(exists(known_by_all)).get_result(conn)?,
            "the next key is younger than {} minutes, so services that cache the key set may not know \
             it yet: wait, or use --hurry",
            PUBLISHED_FOR.num_minutes()
        );
        diesel::update(signing_keys::table.filter(signing_keys::state.eq(KeyState::Current)))
            .set((signing_keys::state.eq(KeyState::Retired), signing_keys::retired_at.eq(now)))
            .execute(conn)?;
        let kid = diesel::update(signing_keys::table.filter(signing_keys::state.eq(KeyState::Next)))
            .set(signing_keys::state.eq(KeyState::Current))
            .returning(signing_keys::kid)
            .get_result(conn)
            .context("there is no next key: start the server once")?;
        insert(conn, sealer, KeyState::Next, now)?;
        notify(conn)?;
        Ok(kid)
    })
}

/// Newest first.
///
/// # Errors
/// The database cannot be read.
pub fn list_keys(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table.order(signing_keys::created_at.desc()).select(KeyRow::as_select()).load(conn)
}

/// Removes keys that retired before `limit`, when all they signed has expired.
///
/// # Errors
/// The database cannot be written.
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

fn insert(conn: &mut PgConnection, sealer: &Sealer, state: KeyState, now: DateTime<Utc>) -> Result<()> {
    let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("no randomness"))?;
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("the key cannot be encoded"))?;
    let kid = public_jwk(pkcs8.as_ref())?.common.key_id.expect("set below");
    let sealed = sealer.seal(pkcs8.as_ref(), &kid).map_err(|_| anyhow!("the key cannot be sealed"))?;
    let row = KeyRow { kid, state, private_key: sealed, created_at: now, retired_at: None };
    diesel::insert_into(signing_keys::table).values(row).execute(conn)?;
    Ok(())
}

fn read(conn: &mut PgConnection, sealer: &Sealer) -> Result<Ring> {
    let mut current = None;
    let mut keys = HashMap::new();
    let mut jwks = JwkSet::default();
    for row in list_keys(conn)? {
        let opened = sealer.open(&row.private_key, &row.kid).map_err(|_| {
            anyhow!(
                "the signing key {} was sealed with another SECRET_KEY: set that one \
                 (`new,old` rotates it), or delete the rows of signing_keys to start afresh, \
                 which logs everybody out",
                row.kid
            )
        })?;
        if opened.outdated {
            reseal(conn, sealer, &row.kid, &opened.plain)?;
        }
        let jwk = public_jwk(&opened.plain)?;
        keys.insert(row.kid.clone(), Key::new(&opened.plain, &jwk)?);
        jwks.keys.push(jwk);
        if row.state == KeyState::Current {
            current = Some(row.kid);
        }
    }
    let kid = current.context("the key ring has no current key")?;
    Ok(Ring { version: 0, kid, keys, jwks })
}

fn reseal(conn: &mut PgConnection, sealer: &Sealer, kid: &str, plain: &[u8]) -> Result<()> {
    let sealed = sealer.seal(plain, kid).map_err(|_| anyhow!("the key cannot be sealed"))?;
    diesel::update(signing_keys::table.find(kid)).set(signing_keys::private_key.eq(sealed)).execute(conn)?;
    tracing::info!(kid, "signing key sealed with the new SECRET_KEY");
    Ok(())
}

impl Key {
    fn new(pkcs8: &[u8], jwk: &Jwk) -> Result<Self> {
        let access =
            Pair { signing: EncodingKey::from_ed_der(pkcs8), verifying: DecodingKey::from_jwk(jwk)? };
        // Derived, so that it rotates and is sealed with its row.
        let secret = derive_key(pkcs8, b"refresh tokens v1");
        let refresh =
            Pair { signing: EncodingKey::from_secret(&secret), verifying: DecodingKey::from_secret(&secret) };
        Ok(Self { access, refresh })
    }
}

/// The public half (RFC 8037), named by its thumbprint (RFC 7638).
fn public_jwk(pkcs8: &[u8]) -> Result<Jwk> {
    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_ed_der(pkcs8), Algorithm::EdDSA)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_algorithm = Some(KeyAlgorithm::EdDSA);
    Ok(jwk)
}

#[cfg(test)]
pub(super) mod fake {
    //! Rings without a database.

    use super::*;

    pub(in crate::tokens) fn pair() -> Vec<u8> {
        Ed25519KeyPair::generate().expect("key").to_pkcs8v1().expect("PKCS#8").as_ref().to_vec()
    }

    /// The first key signs, all verify.
    pub(in crate::tokens) fn ring(keys: &[Vec<u8>]) -> Ring {
        let jwks: Vec<Jwk> = keys.iter().map(|key| public_jwk(key).expect("key")).collect();
        let kid = |jwk: &Jwk| jwk.common.key_id.clone().expect("kid");
        let usable = keys.iter().zip(&jwks).map(|(key, jwk)| (kid(jwk), Key::new(key, jwk).expect("key")));
        Ring { version: 0, kid: kid(&jwks[0]), keys: usable.collect(), jwks: JwkSet { keys: jwks } }
    }

    pub(in crate::tokens) fn key_ring(keys: &[Vec<u8>]) -> KeyRing {
        let secret = crate::config::SecretKey { current: crate::config::Secret::new("x"), previous: None };
        KeyRing { sealer: Arc::new(Sealer::new(&secret)), ring: ArcSwap::from_pointee(ring(keys)) }
    }
}
