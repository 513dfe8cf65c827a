//! Which sessions were used, collected in memory so that a read costs no write.
//!
//! It serves `last_seen_at`, and it tells whether the answer to a refresh has arrived: then an
//! access token of that generation is seen.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, RunQueryDsl, sql_query, sql_types};
use uuid::Uuid;

/// Sessions that are remembered between two flushes.
const CAPACITY: usize = 100_000;
const MINUTE: i64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub generation: i32,
    /// Unix time, to the minute.
    minute: i64,
    written: bool,
}

/// What was seen since the last flush, and shortly before.
#[derive(Default)]
pub struct Activity {
    seen: Mutex<HashMap<Uuid, Seen>>,
}

impl Activity {
    pub fn note(&self, session: Uuid, generation: i32, now: DateTime<Utc>) {
        let minute = now.timestamp() / MINUTE;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(&session);
        if known.is_some_and(|known| known.generation >= generation && known.minute == minute)
            || (known.is_none() && seen.len() >= CAPACITY)
        {
            return;
        }
        let generation = known.map_or(generation, |known| known.generation.max(generation));
        seen.insert(session, Seen { generation, minute, written: false });
    }

    /// The newest generation that this replica saw in use.
    #[must_use]
    pub fn generation(&self, session: Uuid) -> Option<i32> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&session).map(|seen| seen.generation)
    }

    /// What has to be written, at most so many sessions.
    #[must_use]
    pub(super) fn pending(&self, most: usize) -> Vec<(Uuid, Seen)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = seen.iter().filter(|(_, entry)| !entry.written);
        pending.take(most).map(|(session, entry)| (*session, *entry)).collect()
    }

    /// Marks what was pending as written, unless it has changed since.
    pub(super) fn written(&self, news: &[(Uuid, Seen)]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (session, written) in news {
            if let Some(entry) = seen.get_mut(session).filter(|entry| *entry == written) {
                entry.written = true;
            }
        }
    }

    /// Forgets what was written before this minute, since the database has it.
    pub(super) fn forget_written(&self, now: DateTime<Utc>) {
        let minute = now.timestamp() / MINUTE;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, entry| !entry.written || entry.minute >= minute);
    }
}

/// Writes what [`Activity::pending`] gave.
///
/// # Errors
/// The database cannot be written.
pub(super) fn store(conn: &mut PgConnection, news: &[(Uuid, Seen)]) -> QueryResult<usize> {
    let ids: Vec<_> = news.iter().map(|(session, _)| *session).collect();
    let generations: Vec<_> = news.iter().map(|(_, seen)| seen.generation).collect();
    let times: Vec<_> =
        news.iter().filter_map(|(_, seen)| DateTime::from_timestamp(seen.minute * MINUTE, 0)).collect();
    sql_query(
        // Locked in one order, as `sessions::end` does, so that two writers never wait for each other.
        "WITH live AS (SELECT id FROM sessions WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE) \
         UPDATE sessions SET seen_generation = greatest(seen_generation, news.generation), \
                             last_seen_at = greatest(last_seen_at, news.seen_at) \
         FROM unnest($1, $2, $3) AS news (id, generation, seen_at) \
         JOIN live USING (id) WHERE sessions.id = news.id",
    )
    .bind::<sql_types::Array<sql_types::Uuid>, _>(ids)
    .bind::<sql_types::Array<sql_types::Integer>, _>(generations)
    .bind::<sql_types::Array<sql_types::Timestamptz>, _>(times)
    .execute(conn)
}
