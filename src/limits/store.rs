//! The use of limits by all servers, in PostgreSQL.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName,
    connection::SimpleConnection,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Binary, Integer, Interval, Timestamptz},
};

use super::{RateLimit, debts::Name};

/// Rows that housekeeping deletes in one statement. It reads the table, which has no index on the time.
const PRUNED: i64 = 10_000;

/// What is added to the use of a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    pub limit: RateLimit,
    pub name: Name,
    /// Requests that were admitted.
    pub used: u32,
    /// Requests that are admitted only within the limit; together with `used` not more than the limit.
    pub wanted: u32,
}

#[derive(QueryableByName)]
pub(super) struct Answer {
    #[diesel(sql_type = Binary)]
    pub key: Vec<u8>,
    /// When all requests of all servers will have been earned back.
    #[diesel(sql_type = Timestamptz)]
    pub free_at: DateTime<Utc>,
    /// The number of the wanted requests that are admitted.
    #[diesel(sql_type = Integer)]
    pub granted: i32,
}

/// Adds the requests of one server; call it in a transaction. It locks the rows in the order of `news`, which is the same
/// on all servers: sorted by limit and name.
pub(super) fn exchange(
    conn: &mut PgConnection,
    news: &[News],
    now: DateTime<Utc>,
) -> QueryResult<Vec<Answer>> {
    // A crash of PostgreSQL may lose the last moments, which is better than to wait for the disk at each exchange. A
    // server that cannot write in time decides alone.
    conn.batch_execute("SET LOCAL synchronous_commit TO off; SET LOCAL statement_timeout = '750ms'")?;
    let mut answers = Vec::with_capacity(news.len());
    for same in news.chunk_by(|one, other| one.limit == other.limit) {
        answers.extend(exchange_of(conn, same[0].limit, same, now)?);
    }
    Ok(answers)
}

fn exchange_of(
    conn: &mut PgConnection,
    limit: RateLimit,
    news: &[News],
    now: DateTime<Utc>,
) -> QueryResult<Vec<Answer>> {
    let (every, max_debt) = (TimeDelta::from_std(limit.every), TimeDelta::from_std(limit.window()));
    let bounded = "settings bound a limit to a year";
    sql_query(
        // A debt more than an hour above the maximum comes from a clock that was ahead, and is corrected.
        "INSERT INTO rate_limits AS r (key, free_at, granted) \
         SELECT key, $1 + (used + wanted) * $2, wanted \
         FROM unnest($4, $5, $6) WITH ORDINALITY AS news (key, used, wanted, place) ORDER BY place \
         ON CONFLICT (key) DO UPDATE SET (free_at, granted) = ( \
             SELECT base + grants.granted * $2, grants.granted \
             FROM (SELECT least(greatest(r.free_at, $1), $1 + $3 + interval '1 hour') \
                 + (excluded.free_at - $1) - excluded.granted * $2 AS base) AS debts, \
             LATERAL (SELECT greatest(0, least(excluded.granted, \
                 floor(extract(epoch FROM $1 + $3 - base) / extract(epoch FROM $2::interval))))::integer AS granted) \
                 AS grants) \
         RETURNING key, free_at, granted",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Interval, _>(every.expect(bounded))
    .bind::<Interval, _>(max_debt.expect(bounded))
    .bind::<Array<Binary>, _>(news.iter().map(|one| one.name.to_vec()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(news.iter().map(|one| number(one.used)).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(news.iter().map(|one| number(one.wanted)).collect::<Vec<_>>())
    .load(conn)
}

fn number(requests: u32) -> i32 {
    i32::try_from(requests).unwrap_or(i32::MAX)
}

/// Deletes at most [`PRUNED`] rows of which nothing is owed. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let count = sql_query(
        "DELETE FROM rate_limits WHERE key IN (SELECT key FROM rate_limits WHERE free_at < $1 \
         LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(PRUNED)
    .execute(conn)?;
    Ok(count >= usize::try_from(PRUNED).expect("small"))
}
