//! Seals new events: numbers them, and hashes each with the one before.

use std::{sync::Arc, time::Duration};

use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Binary, Integer, Uuid as SqlUuid},
};
use tokio::time;
use uuid::Uuid;

use super::chain::{self, ChainKey, Hash, Link};
use crate::{
    db::{Db, schema::security_events},
    tokens::Sealer,
};

/// How long an event waits at most, on an idle server.
const PAUSE: Duration = Duration::from_secs(2);
/// Events that one transaction seals.
const BATCH: i64 = 500;

/// The result of [`seal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sealing {
    /// All events are sealed, or another server is sealing them.
    Done,
    /// There may be more.
    More,
    /// The key of the chain was encrypted with another `SECRET_KEY`.
    KeyLost,
    /// The ends of the chain were changed, not by a server. To seal with them would hide that.
    Changed,
}

/// Seals new events every few seconds, until the task is aborted.
pub async fn seal_forever(db: Db, sealer: Arc<Sealer>) {
    let mut ticks = time::interval(PAUSE);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        loop {
            let sealer = sealer.clone();
            match db.query_tx(move |conn| seal(conn, &sealer)).await {
                Ok(Sealing::More) => continue,
                Ok(Sealing::Done) => {}
                Ok(Sealing::KeyLost) => tracing::error!(
                    "the key of the audit trail was encrypted with another SECRET_KEY: new events are not sealed"
                ),
                Ok(Sealing::Changed) => tracing::error!(
                    "the ends of the audit trail were changed in the database: new events are not sealed; run `mintage \
                     audit verify`"
                ),
                Err(error) => tracing::warn!(%error, "cannot seal events of the audit trail; retrying"),
            }
            break;
        }
    }
}

/// Seals events that are not sealed yet. Call it in a transaction.
fn seal(conn: &mut PgConnection, sealer: &Sealer) -> QueryResult<Sealing> {
    let unsealed = security_events::table.filter(security_events::seq.is_null());
    // Looked up first, so that an idle server takes no lock.
    if !diesel::select(diesel::dsl::exists(unsealed)).get_result(conn)? {
        return Ok(Sealing::Done);
    }
    let Some(mut ends) = chain::lock(conn)? else {
        return Ok(Sealing::Done);
    };
    let Some(key) = ChainKey::open(sealer, &ends) else {
        return Ok(Sealing::KeyLost);
    };
    if key.mac(&ends) != ends.mac {
        return Ok(Sealing::Changed);
    }
    let links: Vec<Link> =
        unsealed.select(Link::as_select()).order(security_events::id).limit(BATCH).load(conn)?;
    let (mut ids, mut seqs): (Vec<Uuid>, Vec<i64>) = Default::default();
    let (mut digests, mut hashes): (Vec<Hash>, Vec<Hash>) = Default::default();
    for link in &links {
        let (seq, digest) = (ends.last_seq + 1, key.digest(link));
        let hash = key.hash(&ends.last_hash, seq, link, &digest);
        ids.push(link.id);
        seqs.push(seq);
        digests.push(digest);
        hashes.push(hash.clone());
        (ends.last_seq, ends.last_hash) = (seq, hash);
    }
    sql_query(
        "UPDATE security_events e SET chain = $1, seq = u.seq, private_digest = u.digest, hash = u.hash \
         FROM unnest($2, $3, $4, $5) AS u (id, seq, digest, hash) WHERE e.id = u.id",
    )
    .bind::<Integer, _>(ends.id)
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<BigInt>, _>(seqs)
    .bind::<Array<Binary>, _>(digests)
    .bind::<Array<Binary>, _>(hashes)
    .execute(conn)?;
    chain::store(conn, Some(&key), &ends)?;
    let is_full = i64::try_from(links.len()).is_ok_and(|count| count >= BATCH);
    Ok(if is_full { Sealing::More } else { Sealing::Done })
}
