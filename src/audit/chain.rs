//! Computes the hash chain, and keeps its key and its ends.

use anyhow::{Result, anyhow};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, dsl::sql, expression::SqlLiteral, prelude::*, sql_query, sql_types::Text,
};
use ipnet::IpNet;
use uuid::Uuid;

use crate::{
    db::schema::{audit_chains, security_events},
    tokens::Sealer,
};

/// A hash of the chain: HMAC-SHA-256.
pub(super) type Hash = Vec<u8>;

/// What the first event of a chain is hashed with.
const NO_HASH: [u8; 32] = [0; 32];
/// The context that the key is encrypted for.
const CONTEXT: &str = "audit chain";

/// An event as it is hashed.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = security_events)]
pub(super) struct Link {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub actor: String,
    pub actor_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub address: Option<IpNet>,
    pub user_agent: Option<String>,
    /// As PostgreSQL prints it, so that it is hashed the same way each time.
    #[diesel(select_expression = sql::<Text>("details::text"), select_expression_type = SqlLiteral<Text>)]
    pub details: String,
    pub salt: Option<Vec<u8>>,
    pub erased_at: Option<DateTime<Utc>>,
    pub seq: Option<i64>,
    pub private_digest: Option<Hash>,
    pub hash: Option<Hash>,
}

/// The ends of a chain.
#[derive(Queryable, Selectable, Clone, Debug)]
#[diesel(table_name = audit_chains)]
pub(super) struct Ends {
    pub id: i32,
    pub sealed_key: Vec<u8>,
    pub pruned_seq: i64,
    pub pruned_hash: Hash,
    pub last_seq: i64,
    pub last_hash: Hash,
    pub mac: Hash,
}

/// The key of a chain.
pub(super) struct ChainKey(hmac::Key);

impl ChainKey {
    /// Decrypts the key; returns None if it was encrypted with another `SECRET_KEY`.
    pub fn open(sealer: &Sealer, ends: &Ends) -> Option<Self> {
        let opened = sealer.open(&ends.sealed_key, CONTEXT).ok()?;
        Some(Self(hmac::Key::new(HMAC_SHA256, &opened.plain)))
    }

    /// Hashes what can be erased.
    pub fn digest(&self, link: &Link) -> Hash {
        let address = link.address.map(|address| address.addr().to_string());
        self.sign(&[
            Some(b"private"),
            link.salt.as_deref(),
            address.as_deref().map(str::as_bytes),
            link.user_agent.as_deref().map(str::as_bytes),
            Some(link.details.as_bytes()),
        ])
    }

    /// Hashes an event with the hash of the one before.
    pub fn hash(&self, before: &[u8], seq: i64, link: &Link, private_digest: &[u8]) -> Hash {
        self.sign(&[
            Some(b"event"),
            Some(before),
            Some(&seq.to_be_bytes()),
            Some(link.id.as_bytes()),
            Some(&link.at.timestamp_micros().to_be_bytes()),
            Some(link.kind.as_bytes()),
            Some(link.actor.as_bytes()),
            link.actor_id.as_ref().map(|id| id.as_bytes().as_slice()),
            link.user_id.as_ref().map(|id| id.as_bytes().as_slice()),
            link.session_id.as_ref().map(|id| id.as_bytes().as_slice()),
            Some(private_digest),
        ])
    }

    /// Authenticates the ends.
    pub fn mac(&self, ends: &Ends) -> Hash {
        self.sign(&[
            Some(b"ends"),
            Some(&ends.pruned_seq.to_be_bytes()),
            Some(&ends.pruned_hash),
            Some(&ends.last_seq.to_be_bytes()),
            Some(&ends.last_hash),
        ])
    }

    /// Each part is preceded by its length, so that no two lists of parts have the same bytes.
    fn sign(&self, parts: &[Option<&[u8]>]) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            match part {
                None => context.update(&[0]),
                Some(part) => {
                    context.update(&[1]);
                    context.update(&(part.len() as u64).to_be_bytes());
                    context.update(part);
                }
            }
        }
        context.sign().as_ref().to_vec()
    }
}

/// Locks the newest chain and returns its ends, or None while another transaction holds it.
pub(super) fn lock(conn: &mut PgConnection) -> QueryResult<Option<Ends>> {
    // By its id: otherwise the one before would be locked while another transaction holds the newest.
    let Some(newest) = newest(conn)? else {
        return Ok(None);
    };
    audit_chains::table
        .find(newest.id)
        .select(Ends::as_select())
        .for_update()
        .skip_locked()
        .first(conn)
        .optional()
}

/// Locks the chains that no other transaction holds, and returns their ends, the oldest first.
pub(super) fn lock_all(conn: &mut PgConnection) -> QueryResult<Vec<Ends>> {
    audit_chains::table
        .order(audit_chains::id)
        .select(Ends::as_select())
        .for_update()
        .skip_locked()
        .load(conn)
}

/// Stores new ends, with their MAC unless the key is lost.
pub(super) fn store(conn: &mut PgConnection, key: Option<&ChainKey>, ends: &Ends) -> QueryResult<()> {
    diesel::update(audit_chains::table.find(ends.id))
        .set((
            audit_chains::pruned_seq.eq(ends.pruned_seq),
            audit_chains::pruned_hash.eq(&ends.pruned_hash),
            audit_chains::last_seq.eq(ends.last_seq),
            audit_chains::last_hash.eq(&ends.last_hash),
            key.map(|key| audit_chains::mac.eq(key.mac(ends))),
        ))
        .execute(conn)?;
    Ok(())
}

/// Begins the first chain if there is none. With `SECRET_KEY=new,old` the key is encrypted with the new one.
///
/// # Errors
/// The key cannot be made, or the database cannot be written.
pub fn begin_if_absent(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    conn.transaction(|conn| {
        lock_table(conn)?;
        let Some(ends) = newest(conn)? else {
            return begin(conn, sealer, now);
        };
        match sealer.open(&ends.sealed_key, CONTEXT) {
            Ok(opened) if opened.outdated => {
                let sealed = encrypt(sealer, &opened.plain)?;
                let chain = diesel::update(audit_chains::table.find(ends.id));
                chain.set(audit_chains::sealed_key.eq(sealed)).execute(conn)?;
            }
            Ok(_) => {}
            Err(_) => tracing::error!(
                "the key of the audit trail was encrypted with another SECRET_KEY: new events are stored, but not \
                 sealed"
            ),
        }
        Ok(())
    })
}

/// Begins another chain if no server can go on with the newest one: its key cannot be decrypted, because the `SECRET_KEY`
/// is lost, or its ends were changed in the database. The events of the old chain stay; those of a lost key cannot be
/// verified any more.
///
/// # Errors
/// As [`begin_if_absent`].
pub fn begin_if_unusable(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    conn.transaction(|conn| {
        lock_table(conn)?;
        match newest(conn)? {
            Some(ends) if ChainKey::open(sealer, &ends).is_some_and(|key| key.mac(&ends) == ends.mac) => {
                Ok(())
            }
            _ => begin(conn, sealer, now),
        }
    })
}

fn begin(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<()> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| anyhow!("no random bytes"))?;
    let (sealed_key, none) = (encrypt(sealer, &secret)?, NO_HASH.to_vec());
    let key = ChainKey(hmac::Key::new(HMAC_SHA256, &secret));
    let ends = Ends {
        id: 0,
        sealed_key,
        pruned_seq: 0,
        pruned_hash: none.clone(),
        last_seq: 0,
        last_hash: none,
        mac: Hash::new(),
    };
    diesel::insert_into(audit_chains::table)
        .values((
            audit_chains::sealed_key.eq(&ends.sealed_key),
            audit_chains::pruned_hash.eq(&ends.pruned_hash),
            audit_chains::last_hash.eq(&ends.last_hash),
            audit_chains::mac.eq(key.mac(&ends)),
            audit_chains::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

fn encrypt(sealer: &Sealer, secret: &[u8]) -> Result<Vec<u8>> {
    sealer.seal(secret, CONTEXT).map_err(|_| anyhow!("the key of the audit trail cannot be encrypted"))
}

/// So that servers which start together begin one chain.
fn lock_table(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("LOCK TABLE audit_chains IN EXCLUSIVE MODE").execute(conn)?;
    Ok(())
}

pub(super) fn newest(conn: &mut PgConnection) -> QueryResult<Option<Ends>> {
    audit_chains::table.order(audit_chains::id.desc()).select(Ends::as_select()).first(conn).optional()
}
