//! Counts posts per hour in the database, and reads the times of the posts of the last day.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Nullable, Text, Timestamptz},
};

use super::{
    post::{Dropped, MAX_KEPT_POSTS},
    rates::Times,
};
use crate::db::CoinId;

const KEEP_HOURS: TimeDelta = TimeDelta::days(90);

/// A post that was stored for the first time.
#[derive(QueryableByName)]
pub struct AddedPost {
    #[diesel(sql_type = BigInt)]
    pub coin_id: CoinId,
    #[diesel(sql_type = Timestamptz)]
    pub posted_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub dropped: Option<Dropped>,
}

/// Adds posts to the numbers of their hours.
pub fn add(conn: &mut PgConnection, provider: &str, new: &[AddedPost]) -> QueryResult<()> {
    let mut hours: BTreeMap<(CoinId, DateTime<Utc>), (i64, i64)> = BTreeMap::new();
    for AddedPost { coin_id, posted_at, dropped } in new {
        let is_counted = dropped.is_none();
        if is_counted || *dropped == Some(Dropped::Author) {
            let hour = posted_at.duration_trunc(TimeDelta::hours(1)).expect("an hour of our time");
            let (posts, authors) = hours.entry((*coin_id, hour)).or_default();
            *posts += 1;
            *authors += i64::from(is_counted);
        }
    }
    if hours.is_empty() {
        return Ok(());
    }
    let numbers = |of: fn(&(i64, i64)) -> i64| hours.values().map(of).collect::<Vec<_>>();
    sql_query(
        "INSERT INTO social_hours AS h (coin_id, source, step_seconds, at, posts, authors) \
         SELECT coin_id, $1, 3600, at, posts, authors FROM unnest($2, $3, $4, $5) AS new (coin_id, at, posts, authors) \
         ON CONFLICT ON CONSTRAINT social_hours_pkey DO UPDATE \
         SET posts = h.posts + excluded.posts, authors = h.authors + excluded.authors",
    )
    .bind::<Text, _>(provider)
    .bind::<Array<BigInt>, _>(hours.keys().map(|(coin, _)| *coin).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(hours.keys().map(|(_, at)| *at).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(numbers(|(posts, _)| *posts))
    .bind::<Array<BigInt>, _>(numbers(|(_, authors)| *authors))
    .execute(conn)?;
    Ok(())
}

/// Sums up the oldest day (UTC) of which all hours are older than 90 days. One day per run, since it may have a row per
/// coin, source and hour.
pub fn roll_up(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    sql_query(
        "WITH day AS ( \
             SELECT date_trunc('day', min(at), 'UTC') AS at FROM social_hours \
             WHERE step_seconds = 3600 AND at < date_trunc('day', $1, 'UTC')), \
         old AS ( \
             DELETE FROM social_hours h USING day \
             WHERE h.step_seconds = 3600 AND h.at >= day.at AND h.at < day.at + interval '24 hours' \
             RETURNING h.coin_id, h.source, day.at AS day, h.posts, h.authors) \
         INSERT INTO social_hours AS h (coin_id, source, step_seconds, at, posts, authors) \
         SELECT coin_id, source, 86400, day, sum(posts), sum(authors) FROM old GROUP BY 1, 2, 4 \
         ON CONFLICT ON CONSTRAINT social_hours_pkey DO UPDATE \
         SET posts = h.posts + excluded.posts, authors = h.authors + excluded.authors",
    )
    .bind::<Timestamptz, _>(now - KEEP_HOURS)
    .execute(conn)?;
    Ok(())
}

/// Returns the times of the posts that count since `since`, by coin and provider.
pub fn times(
    conn: &mut PgConnection,
    of: &[CoinId],
    since: DateTime<Utc>,
) -> QueryResult<HashMap<CoinId, BTreeMap<String, Times>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = Text)]
        provider: String,
        #[diesel(sql_type = Nullable<Array<Timestamptz>>)]
        counted: Option<Vec<DateTime<Utc>>>,
        #[diesel(sql_type = BigInt)]
        kept: i64,
        #[diesel(sql_type = Timestamptz)]
        oldest: DateTime<Utc>,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT coin_id, provider, array_agg(posted_at ORDER BY posted_at) FILTER (WHERE dropped IS NULL) AS counted, \
             count(*) AS kept, min(posted_at) AS oldest \
         FROM social_posts WHERE coin_id = ANY($1) AND posted_at >= $2 GROUP BY coin_id, provider",
    )
    .bind::<Array<BigInt>, _>(of)
    .bind::<Timestamptz, _>(since)
    .load(conn)?;
    let mut times: HashMap<CoinId, BTreeMap<String, Times>> = HashMap::new();
    for Row { coin_id, provider, counted, kept, oldest } in rows {
        let kept_since = (kept >= MAX_KEPT_POSTS).then_some(oldest);
        let own = Times { posts: counted.unwrap_or_default(), kept_since };
        times.entry(coin_id).or_default().insert(provider, own);
    }
    Ok(times)
}
