//! Stores scores of posts, cursors, summaries and leases of streams.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid},
    upsert::excluded,
};
use uuid::Uuid;

use super::{
    hours,
    kept::save_posts,
    model::Social,
    post::{Dropped, MAX_POST_AGE, MAX_SAMPLE_SIZE, ScoredPost},
    rates::{Coverage, WINDOW},
    summary::{KeptPost, Known},
};
use crate::{
    db::{
        CoinId,
        schema::{coin_social, social_cursors, social_posts, social_streams, social_tries},
    },
    sentiment::{Count, Scored},
};

/// The new posts of one source about one coin.
#[derive(Clone, Debug)]
pub struct Batch {
    pub provider: &'static str,
    pub source: String,
    pub coin: CoinId,
    pub posts: Vec<ScoredPost>,
    pub cursor: Option<String>,
    /// If older posts were not read, the time since which no post is missing.
    pub complete_since: Option<DateTime<Utc>>,
    pub counted: Option<Count>,
    pub read_at: DateTime<Utc>,
}

/// Returns the id of the newest post that was read of a source, by coin.
pub fn cursors(conn: &mut PgConnection, source: &str) -> QueryResult<HashMap<CoinId, String>> {
    let rows: Vec<(CoinId, String)> = social_cursors::table
        .filter(social_cursors::source.eq(source).and(social_cursors::cursor.is_not_null()))
        .select((social_cursors::coin_id, social_cursors::cursor.assume_not_null()))
        .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// Returns when a source was last queried, by coin.
pub fn tries(conn: &mut PgConnection, source: &str) -> QueryResult<HashMap<CoinId, DateTime<Utc>>> {
    let rows: Vec<(CoinId, DateTime<Utc>)> = social_tries::table
        .filter(social_tries::source.eq(source))
        .select((social_tries::coin_id, social_tries::tried_at))
        .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// Records that a source is about to be queried for a coin. It is recorded before the query: otherwise a coin that never
/// gets an answer, or ends the reading, would stay the first in line.
pub fn note_try(conn: &mut PgConnection, source: &str, coin: CoinId, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(social_tries::table)
        .values((
            social_tries::source.eq(source),
            social_tries::coin_id.eq(coin),
            social_tries::tried_at.eq(now),
        ))
        .on_conflict((social_tries::source, social_tries::coin_id))
        .do_update()
        .set(social_tries::tried_at.eq(now))
        .execute(conn)?;
    Ok(())
}

/// Stores new posts and the cursor; idempotent.
pub fn save(conn: &mut PgConnection, batch: &Batch) -> QueryResult<()> {
    save_posts(conn, batch.provider, &BTreeMap::from([(batch.coin, batch.posts.clone())]))?;
    move_cursor(conn, batch)
}

fn move_cursor(conn: &mut PgConnection, batch: &Batch) -> QueryResult<()> {
    let since = batch.complete_since.unwrap_or(batch.read_at - MAX_POST_AGE);
    let counted = (
        social_cursors::counted_posts.eq(batch.counted.map(|count| count.posts)),
        social_cursors::counted_hours.eq(batch.counted.map(|count| count.hours)),
    );
    diesel::insert_into(social_cursors::table)
        .values((
            social_cursors::source.eq(&batch.source),
            social_cursors::coin_id.eq(batch.coin),
            social_cursors::cursor.eq(&batch.cursor),
            social_cursors::covered_since.eq(since),
            social_cursors::covered_until.eq(batch.read_at),
            counted,
        ))
        .on_conflict((social_cursors::source, social_cursors::coin_id))
        .do_update()
        .set((
            social_cursors::covered_until.eq(excluded(social_cursors::covered_until)),
            batch.cursor.as_ref().map(|cursor| social_cursors::cursor.eq(cursor)),
            batch.complete_since.map(|since| social_cursors::covered_since.eq(since)),
            batch.counted.map(|_| counted),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records that a stream was read for these coins from `from` until `until`. Coverage that reached `from` is extended;
/// otherwise it starts at `from`.
pub fn cover(
    conn: &mut PgConnection,
    source: &str,
    of: &[CoinId],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO social_cursors AS s (source, coin_id, covered_since, covered_until) \
         SELECT $1, coin_id, $3, $4 FROM unnest($2) AS coin_id \
         ON CONFLICT (source, coin_id) DO UPDATE SET covered_until = $4, \
         covered_since = CASE WHEN s.covered_until < $3 THEN $3 ELSE s.covered_since END",
    )
    .bind::<Text, _>(source)
    .bind::<Array<BigInt>, _>(of)
    .bind::<Timestamptz, _>(from)
    .bind::<Timestamptz, _>(until)
    .execute(conn)?;
    Ok(())
}

/// Deletes rows that are too old to count.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    let old = now - MAX_POST_AGE;
    diesel::delete(social_posts::table.filter(social_posts::posted_at.lt(old))).execute(conn)?;
    diesel::delete(social_cursors::table.filter(social_cursors::covered_until.lt(old))).execute(conn)?;
    diesel::delete(social_tries::table.filter(social_tries::tried_at.lt(old))).execute(conn)?;
    hours::roll_up(conn, now)
}

/// Returns the stored data of these coins: coverage, the newest posts that count, at most [`MAX_SAMPLE_SIZE`] of each
/// provider, and how many others were dropped since the sample began.
pub fn known(
    conn: &mut PgConnection,
    of: &[CoinId],
    now: DateTime<Utc>,
) -> QueryResult<HashMap<CoinId, Known>> {
    type CursorRow = (CoinId, String, DateTime<Utc>, DateTime<Utc>, Option<f64>, Option<f64>);
    let cursors: Vec<CursorRow> = social_cursors::table
        .filter(social_cursors::coin_id.eq_any(of))
        .select((
            social_cursors::coin_id,
            social_cursors::source,
            social_cursors::covered_since,
            social_cursors::covered_until,
            social_cursors::counted_posts,
            social_cursors::counted_hours,
        ))
        .load(conn)?;
    let mut known: HashMap<CoinId, Known> = HashMap::new();
    for (coin, post) in newest_posts(conn, of)? {
        known.entry(coin).or_default().posts.push(post);
    }
    for (coin, source, since, until, posts, hours) in cursors {
        let counted = posts.zip(hours).map(|(posts, hours)| Count { posts, hours });
        known.entry(coin).or_default().coverage.push(Coverage { source, since, until, counted });
    }
    count_dropped(conn, &mut known)?;
    for (coin, times) in hours::times(conn, of, now - WINDOW)? {
        known.entry(coin).or_default().times = times;
    }
    Ok(known)
}

/// Returns the newest posts that count of each coin and provider, newest first.
fn newest_posts(conn: &mut PgConnection, of: &[CoinId]) -> QueryResult<Vec<(CoinId, KeptPost)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = Text)]
        provider: String,
        #[diesel(sql_type = Timestamptz)]
        posted_at: DateTime<Utc>,
        #[diesel(sql_type = Double)]
        compound: f64,
        #[diesel(sql_type = Double)]
        basic: f64,
        #[diesel(sql_type = Nullable<Double>)]
        crypto: Option<f64>,
        #[diesel(sql_type = BigInt)]
        author_hash: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        thread_hash: Option<i64>,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT p.* FROM unnest($1) AS coin (id), \
         (SELECT DISTINCT split_part(source, ':', 1) FROM social_cursors) AS provider (name), \
         LATERAL (SELECT coin_id, provider, posted_at, compound, basic, crypto, author_hash, thread_hash, post_hash \
             FROM social_posts WHERE coin_id = coin.id AND provider = provider.name AND dropped IS NULL \
             ORDER BY posted_at DESC, post_hash DESC LIMIT $2) AS p \
         ORDER BY p.coin_id, p.posted_at DESC, p.post_hash",
    )
    .bind::<Array<BigInt>, _>(of)
    .bind::<BigInt, _>(i64::try_from(MAX_SAMPLE_SIZE).expect("small"))
    .load(conn)?;
    let post = |row: Row| {
        let Row { coin_id, provider, posted_at, compound, basic, crypto, author_hash, thread_hash } = row;
        let scored = Scored { compound, basic, crypto };
        (coin_id, KeptPost { provider, at: posted_at, author: author_hash, thread: thread_hash, scored })
    };
    Ok(rows.into_iter().map(post).collect())
}

/// Counts the posts that were dropped since the sample of each coin began, or of all kept posts if there is no sample.
fn count_dropped(conn: &mut PgConnection, known: &mut HashMap<CoinId, Known>) -> QueryResult<()> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = Text)]
        dropped: Dropped,
        #[diesel(sql_type = BigInt)]
        posts: i64,
    }
    let begins = known.iter().map(|(coin, known)| (*coin, known.sample().last().map(|post| post.at)));
    let (coins, begins): (Vec<CoinId>, Vec<Option<DateTime<Utc>>>) = begins.unzip();
    let rows: Vec<Row> = sql_query(
        "SELECT coin_id, dropped, count(*) AS posts FROM unnest($1, $2) AS sample (coin, began) \
         JOIN social_posts ON coin_id = coin AND (began IS NULL OR posted_at >= began) \
         WHERE dropped IS NOT NULL GROUP BY coin_id, dropped",
    )
    .bind::<Array<BigInt>, _>(coins)
    .bind::<Array<Nullable<Timestamptz>>, _>(begins)
    .load(conn)?;
    for Row { coin_id, dropped, posts } in rows {
        let counts = &mut known.entry(coin_id).or_default().dropped;
        match dropped {
            Dropped::Language => counts.language = posts,
            Dropped::Duplicate => counts.duplicate = posts,
            Dropped::Author => counts.author = posts,
            Dropped::Tags => counts.tags = posts,
        }
    }
    Ok(())
}

/// Replaces the summaries of these coins; other coins keep theirs.
pub fn save_summaries(conn: &mut PgConnection, summaries: &HashMap<CoinId, Social>) -> QueryResult<()> {
    let rows: Vec<_> = summaries
        .iter()
        .map(|(coin, social)| {
            let body = serde_json::to_value(social).expect("numbers and text serialise");
            (coin_social::coin_id.eq(coin), coin_social::as_of.eq(social.as_of), coin_social::social.eq(body))
        })
        .collect();
    diesel::insert_into(coin_social::table)
        .values(rows)
        .on_conflict(coin_social::coin_id)
        .do_update()
        .set((
            coin_social::as_of.eq(excluded(coin_social::as_of)),
            coin_social::social.eq(excluded(coin_social::social)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Returns the summaries of these coins, without those that are older than [`MAX_POST_AGE`] at this time. Rows in the format
/// of another version are left out.
pub fn current(
    conn: &mut PgConnection,
    of: &[CoinId],
    at: DateTime<Utc>,
) -> QueryResult<HashMap<CoinId, Social>> {
    let rows: Vec<(CoinId, serde_json::Value)> = coin_social::table
        .filter(coin_social::coin_id.eq_any(of).and(coin_social::as_of.gt(at - MAX_POST_AGE)))
        .select((coin_social::coin_id, coin_social::social))
        .load(conn)?;
    let read = |(coin, social)| Some((coin, serde_json::from_value(social).ok()?));
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The outcome of [`hold_stream`].
pub enum Hold {
    /// This replica has the lease, and continues after the cursor if there is one.
    Ours(Option<i64>),
    /// Another replica has the lease.
    Theirs,
}

/// Takes or renews the lease of a stream until `until`. A lease that ends an hour later than that comes from a wrong clock
/// and does not count.
pub fn hold_stream(
    conn: &mut PgConnection,
    source: &str,
    holder: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<Hold> {
    #[derive(QueryableByName)]
    struct Held {
        #[diesel(sql_type = Nullable<BigInt>)]
        cursor: Option<i64>,
    }
    let held: Option<Held> = sql_query(
        "INSERT INTO social_streams AS s (source, holder, lease_until) VALUES ($1, $2, $4) \
         ON CONFLICT (source) DO UPDATE SET holder = $2, lease_until = $4 \
         WHERE s.holder = $2 OR s.lease_until < $3 OR s.lease_until > $4 + interval '1 hour' \
         RETURNING cursor",
    )
    .bind::<Text, _>(source)
    .bind::<SqlUuid, _>(holder)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(until)
    .get_result(conn)
    .optional()?;
    Ok(held.map_or(Hold::Theirs, |held| Hold::Ours(held.cursor)))
}

/// Stores the cursor of a stream and renews its lease; false if another replica has it.
pub fn advance_stream(
    conn: &mut PgConnection,
    source: &str,
    holder: Uuid,
    cursor: Option<i64>,
    until: DateTime<Utc>,
) -> QueryResult<bool> {
    let held = social_streams::table.find(source).filter(social_streams::holder.eq(holder));
    let values =
        (cursor.map(|cursor| social_streams::cursor.eq(cursor)), social_streams::lease_until.eq(until));
    Ok(diesel::update(held).set(values).execute(conn)? == 1)
}

/// Ends the lease, so that another replica can take it at once; false if another one has it already.
pub fn release_stream(
    conn: &mut PgConnection,
    source: &str,
    holder: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let held = social_streams::table.find(source).filter(social_streams::holder.eq(holder));
    Ok(diesel::update(held).set(social_streams::lease_until.eq(now)).execute(conn)? == 1)
}
