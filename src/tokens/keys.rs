//! Keeps the key ring: keys in the database, encrypted with `SECRET_KEY`, shared by all replicas.
//!
//! A key is first `next` (published, not used), then `current` (signs), then `retired` (only verifies). Every replica
//! and every client that caches the JWKS knows a key before it signs the first token, so a rotation causes no 401.
//! [`key_changes`](super::key_changes) changes the ring, and this file reads it.

use std::{collections::HashMap, sync::Arc};

use actix_web::{http::header::HeaderValue, web::Bytes};
use anyhow::{Result, anyhow};
use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    deserialize::FromSqlRow,
    expression::AsExpression,
    prelude::*,
    sql_query,
    sql_types::{Integer, Text},
};
use jsonwebtoken::jwk::JwkSet;

use super::{
    key::Key,
    key_schedule::{Ages, Standing},
    seal::Sealer,
};
use crate::{
    config::SigningAlgorithm,
    db::{Change, Follow, schema::signing_keys, text_enum},
    http::etag::of_body,
};

pub(super) const CHANNEL: &str = "mintage_signing_keys";
/// The class of the advisory locks by which running servers state their `JWT_ALGORITHM`.
pub(super) const ALGORITHM_LOCKS: i32 = 0x006d_7467;

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
    pub(super) private_key: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
    /// Text, so that one key of a later version does not make all the others unreadable.
    pub algorithm: String,
    pub promoted_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    pub(super) fn standing(&self) -> Standing {
        let promoted = self.promoted_at.filter(|_| self.state == KeyState::Current);
        Standing { algorithm: self.algorithm.parse().ok(), since: promoted.unwrap_or(self.created_at) }
    }
}

/// The decrypted keys.
#[derive(Default)]
pub(super) struct Ring {
    /// Counts the changes of the ring.
    pub version: u64,
    /// The id of the key that signs; None if this server cannot decrypt any key.
    pub kid: Option<String>,
    pub keys: HashMap<String, Arc<Key>>,
    pub jwks: Arc<Jwks>,
    /// Ids of keys that this server cannot decrypt. It cannot verify the tokens that they signed.
    pub sealed: Vec<String>,
    pub ages: Ages,
}

/// The published key set.
pub(super) struct Jwks {
    pub body: Bytes,
    pub etag: HeaderValue,
}

impl Default for Jwks {
    fn default() -> Self {
        Self::new(&JwkSet::default())
    }
}

impl Jwks {
    fn new(keys: &JwkSet) -> Self {
        let body: Bytes = serde_json::to_vec(keys).expect("strings serialise").into();
        let etag = of_body(&body);
        Self { body, etag }
    }
}

impl Ring {
    pub fn signing(&self) -> Option<(&str, &Key)> {
        let kid = self.kid.as_deref()?;
        Some((kid, self.keys.get(kid)?))
    }

    /// Adds the keys, in the order in which they are published.
    fn fill(&mut self, keys: Vec<Arc<Key>>) {
        let public = keys.iter().map(|key| key.public.clone()).collect();
        self.jwks = Arc::new(Jwks::new(&JwkSet { keys: public }));
        self.keys = keys.into_iter().map(|key| (key.kid().to_owned(), key)).collect();
    }
}

/// The copy in memory of the `signing_keys` table.
pub struct KeyRing {
    sealer: Arc<Sealer>,
    algorithm: SigningAlgorithm,
    ring: ArcSwap<Ring>,
}

impl KeyRing {
    /// Reads the keys. `algorithm` is the one that this server is set to.
    pub fn load(conn: &mut PgConnection, sealer: Arc<Sealer>, algorithm: SigningAlgorithm) -> Result<Self> {
        let ring = ArcSwap::from_pointee(read_whole(conn, &sealer)?);
        Ok(Self { sealer, algorithm, ring })
    }

    pub(super) fn replace(&self, mut ring: Ring) {
        ring.version = self.ring.load().version + 1;
        self.ring.store(Arc::new(ring));
    }

    /// Whether this server can sign tokens. With the wrong `SECRET_KEY` it cannot decrypt the keys.
    pub fn can_sign(&self) -> bool {
        self.current().signing().is_some()
    }

    /// The age of the keys; None if this server cannot decrypt all of them, so that it must not add others.
    pub fn ages(&self) -> Option<Ages> {
        let ring = self.current();
        (ring.sealed.is_empty() && ring.kid.is_some()).then(|| ring.ages.clone())
    }

    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.ring.load()
    }

    fn read(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>> {
        let (ring, faults) = read(conn, &self.sealer, &self.current().keys)?;
        // The other keys still work. An operator has to mend this one.
        for fault in faults {
            tracing::error!(error = format!("{fault:#}"), "signing key cannot be used");
        }
        Ok(Box::new(|| self.replace(ring)))
    }
}

impl Follow for KeyRing {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    /// Also takes a lock of the connection's session, by which the others see the algorithm of this server as long as it
    /// runs.
    fn load(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>> {
        sql_query("SELECT pg_advisory_lock_shared($1, $2)")
            .bind::<Integer, _>(ALGORITHM_LOCKS)
            .bind::<Integer, _>(self.algorithm as i32)
            .execute(conn)?;
        self.read(conn)
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<Change<'_>> {
        self.read(conn)
    }
}

/// Lists the keys, the newest first.
pub fn list_keys(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table
        .order((signing_keys::created_at.desc(), signing_keys::kid))
        .select(KeyRow::as_select())
        .load(conn)
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
    let (mut ring, mut keys, mut faults) = (Ring::default(), Vec::new(), Vec::new());
    for row in list_keys(conn)? {
        match row.state {
            KeyState::Current => ring.ages.current = Some(row.standing()),
            KeyState::Next => ring.ages.next = Some(row.standing()),
            KeyState::Retired => {}
        }
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
            ring.kid = Some(row.kid);
        }
        keys.push(key);
    }
    ring.fill(keys);
    if ring.ages.current.is_none() {
        faults.push(anyhow!("the key ring has no current key"));
    }
    Ok((ring, faults))
}

/// Like [`read`], but fails if a key is missing.
pub(super) fn read_whole(conn: &mut PgConnection, sealer: &Sealer) -> Result<Ring> {
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
    Ok(Key::of_row(&row.kid, &row.algorithm, &opened.plain))
}

#[cfg(test)]
pub(super) mod fake {
    //! Makes rings without a database.

    use super::{super::key::generate, *};

    pub(in crate::tokens) fn pair(algorithm: SigningAlgorithm) -> Arc<Key> {
        Arc::new(Key::new(algorithm, &generate(algorithm).expect("a key")).expect("a key"))
    }

    /// The first key signs, all verify.
    pub(in crate::tokens) fn ring(keys: &[Arc<Key>]) -> Ring {
        let mut ring = Ring { kid: keys.first().map(|key| key.kid().to_owned()), ..Ring::default() };
        ring.fill(keys.to_vec());
        ring
    }

    pub(in crate::tokens) fn key_ring(keys: &[Arc<Key>]) -> KeyRing {
        let secret = crate::config::SecretKey { current: crate::config::Secret::new("x"), previous: None };
        let ring = ArcSwap::from_pointee(ring(keys));
        KeyRing { sealer: Arc::new(Sealer::new(&secret)), algorithm: SigningAlgorithm::EdDsa, ring }
    }
}
