//! Collects in memory which sessions were used, so that a read costs no write.
//!
//! This gives `last_seen_at`, and it shows whether the response to a refresh has arrived: then an access token of that
//! generation is used. The first use of a session in each minute is written to the database.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types,
};
use parking_lot::{Mutex, MutexGuard};

use crate::db::SessionId;

/// Maximum number of sessions that are remembered between two flushes.
const CAPACITY: usize = 100_000;
const MINUTE: i64 = 60;
/// How much later than written a session may have been used: the rest of the minute, and until the next flush.
pub(super) const MAX_WRITE_DELAY: TimeDelta = TimeDelta::seconds(65);
/// Sessions that are written in one statement, which locks their rows until it ends.
pub const BATCH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub generation: i32,
    /// The first use in the minute of the last one; Unix time.
    first: i64,
}

#[derive(Clone, Copy)]
struct Entry {
    seen: Seen,
    last: DateTime<Utc>,
    written: bool,
}

/// The uses since the last flush, and shortly before.
#[derive(Default)]
pub struct Activity {
    seen: Mutex<HashMap<SessionId, Entry>>,
}

impl Activity {
    pub fn note(&self, session: SessionId, generation: i32, now: DateTime<Utc>) {
        let first = now.timestamp();
        let mut entries = self.lock();
        if !entries.contains_key(&session) && entries.len() >= CAPACITY {
            return;
        }
        let new = Entry { seen: Seen { generation, first }, last: now, written: false };
        let entry = entries.entry(session).or_insert(new);
        if generation > entry.seen.generation || first / MINUTE != entry.seen.first / MINUTE {
            let generation = generation.max(entry.seen.generation);
            *entry = Entry { seen: Seen { generation, ..new.seen }, ..new };
        }
        entry.last = now;
    }

    /// Returns the newest generation that this replica has seen in use.
    pub fn generation(&self, session: SessionId) -> Option<i32> {
        self.lock().get(&session).map(|entry| entry.seen.generation)
    }

    /// Returns when this replica last saw the session in use, unless that is already written.
    pub(super) fn last_use(&self, session: SessionId) -> Option<DateTime<Utc>> {
        self.lock().get(&session).map(|entry| entry.last)
    }

    /// Returns the uses that have to be written.
    pub fn pending(&self) -> Vec<(SessionId, Seen)> {
        let entries = self.lock();
        let pending = entries.iter().filter(|(_, entry)| !entry.written);
        pending.map(|(session, entry)| (*session, entry.seen)).collect()
    }

    /// Marks pending uses as written, unless they have changed since.
    pub fn written(&self, uses: &[(SessionId, Seen)]) {
        let mut entries = self.lock();
        for (session, seen) in uses {
            if let Some(entry) = entries.get_mut(session).filter(|entry| entry.seen == *seen) {
                entry.written = true;
            }
        }
    }

    /// Forgets uses before this minute that are written.
    pub fn forget_written(&self, now: DateTime<Utc>) {
        let minute = now.timestamp() / MINUTE;
        self.lock().retain(|_, entry| !entry.written || entry.last.timestamp() / MINUTE >= minute);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.seen.lock()
    }
}

/// Writes some of the uses that [`Activity::pending`] returned; call it in a transaction. Returns those that are
/// written when it commits. A session whose row another transaction has locked stays pending, because waiting for it
/// would delay the others.
///
/// # Errors
/// The database cannot be written, or not within 250 ms.
pub fn store(conn: &mut PgConnection, uses: &[(SessionId, Seen)]) -> QueryResult<Vec<(SessionId, Seen)>> {
    #[derive(QueryableByName)]
    struct Skipped {
        #[diesel(sql_type = sql_types::Uuid)]
        id: SessionId,
    }
    let ids: Vec<_> = uses.iter().map(|(session, _)| *session).collect();
    let generations: Vec<_> = uses.iter().map(|(_, seen)| seen.generation).collect();
    let times: Vec<_> =
        uses.iter().map(|(_, seen)| DateTime::from_timestamp(seen.first, 0).unwrap_or_default()).collect();
    // A refresh waits less than half a second for its row, so a slow write must give up before that.
    conn.batch_execute("SET LOCAL statement_timeout = '250ms'")?;
    let skipped: Vec<Skipped> = sql_query(
        "WITH free AS (SELECT id FROM sessions WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED), \
         written AS (UPDATE sessions SET seen_generation = greatest(seen_generation, news.generation), \
                                         last_seen_at = greatest(last_seen_at, news.seen_at) \
             FROM unnest($1, $2, $3) AS news (id, generation, seen_at) \
             JOIN free USING (id) WHERE sessions.id = news.id) \
         SELECT id FROM sessions WHERE id = ANY($1) AND id NOT IN (SELECT id FROM free)",
    )
    .bind::<sql_types::Array<sql_types::Uuid>, _>(ids)
    .bind::<sql_types::Array<sql_types::Integer>, _>(generations)
    .bind::<sql_types::Array<sql_types::Timestamptz>, _>(times)
    .load(conn)?;
    let skipped: HashSet<_> = skipped.into_iter().map(|row| row.id).collect();
    Ok(uses.iter().filter(|(session, _)| !skipped.contains(session)).copied().collect())
}
