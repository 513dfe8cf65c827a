//! Counts requests with API keys in memory, so that a read costs no write.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, NaiveDate, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Array, BigInt, Date, Timestamptz, Uuid as SqlUuid},
};
use parking_lot::Mutex;

use crate::db::ApiKeyId;

/// Maximum number of keys and days that are counted between two flushes.
const CAPACITY: usize = 100_000;
/// Counts that are written in one statement, which locks the rows of their keys until it ends.
pub const BATCH: usize = 100;

/// The requests with a key on a day that are not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub key: ApiKeyId,
    pub day: NaiveDate,
    pub requests: i64,
    /// The minute of the last one.
    pub last: DateTime<Utc>,
}

#[derive(Default)]
pub struct KeyUses(Mutex<HashMap<(ApiKeyId, NaiveDate), Use>>);

impl KeyUses {
    pub fn note(&self, key: ApiKeyId, now: DateTime<Utc>) {
        let last = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        self.add(Use { key, day: now.date_naive(), requests: 1, last });
    }

    /// Takes the counts to write them.
    pub fn take(&self) -> Vec<Use> {
        let mut uses: Vec<_> = std::mem::take(&mut *self.0.lock()).into_values().collect();
        // In the order in which all servers lock the rows.
        uses.sort_unstable_by_key(|one| (one.key, one.day));
        uses
    }

    /// Adds counts, also those that could not be written.
    pub fn add(&self, news: Use) {
        let mut uses = self.0.lock();
        let key = (news.key, news.day);
        if !uses.contains_key(&key) && uses.len() >= CAPACITY {
            return;
        }
        let counted = uses.entry(key).or_insert(Use { requests: 0, ..news });
        counted.requests += news.requests;
        counted.last = counted.last.max(news.last);
    }
}

/// Writes counts, of keys that still exist; call it in a transaction.
///
/// # Errors
/// The database cannot be written, or not within 250 ms.
pub fn store(conn: &mut PgConnection, uses: &[Use]) -> QueryResult<()> {
    // A revocation waits for these rows, so a slow write must give up.
    conn.batch_execute("SET LOCAL statement_timeout = '250ms'")?;
    sql_query(
        "WITH news AS (SELECT * FROM unnest($1, $2, $3, $4) AS news (id, day, requests, used_at)), \
         known AS (SELECT id FROM api_keys WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE), \
         used AS (UPDATE api_keys SET last_used_at = greatest(last_used_at, newest.used_at) \
             FROM (SELECT id, max(used_at) AS used_at FROM news JOIN known USING (id) GROUP BY id) AS newest \
             WHERE api_keys.id = newest.id) \
         INSERT INTO api_key_usage (key_id, day, requests) \
         SELECT id, day, requests FROM news JOIN known USING (id) ORDER BY id, day \
         ON CONFLICT (key_id, day) DO UPDATE SET requests = api_key_usage.requests + excluded.requests",
    )
    .bind::<Array<SqlUuid>, _>(uses.iter().map(|one| one.key).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(uses.iter().map(|one| one.day).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(uses.iter().map(|one| one.requests).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(uses.iter().map(|one| one.last).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn requests_are_counted_by_day_and_the_last_use_by_minute() {
        let (uses, key) = (KeyUses::default(), ApiKeyId(Uuid::now_v7()));
        let noon: DateTime<Utc> = "2026-11-22T12:00:05Z".parse().expect("a time");
        for seconds in [0, 30, 70, 86_400] {
            uses.note(key, noon + TimeDelta::seconds(seconds));
        }
        let taken = uses.take();
        assert_eq!(taken.iter().map(|one| one.requests).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(taken[0].last.to_rfc3339(), "2026-11-22T12:01:00+00:00");
        assert!(uses.take().is_empty());
        for one in &taken {
            uses.add(*one);
        }
        uses.note(key, noon);
        assert_eq!(uses.take()[0].requests, 4, "counts that were not written are kept");
    }
}
