//! Stores posts that are seen for the first time, of all coins of a batch at once.
//!
//! A stream brings posts about hundreds of coins every few seconds. So each statement is for the whole batch: one for each
//! coin would take longer than scoring the posts.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable, Text, Timestamptz},
};

use super::{
    hours::{self, AddedPost},
    post::{self, MAX_KEPT_POSTS, Marks, ScoredPost},
};
use crate::db::CoinId;

/// The offset of the oldest post that is kept, among the newest first.
const OLDEST_KEPT: i64 = MAX_KEPT_POSTS - 1;

/// Posts by the coin that they are about. The coins are in order, so that two batches lock them in the same one.
pub type PostsOfCoins = BTreeMap<CoinId, Vec<ScoredPost>>;

/// Stores posts that are seen for the first time, and deletes all but the newest [`MAX_KEPT_POSTS`] of a coin; needs a
/// transaction. Posts that repeat one that counts are stored as dropped. Posts that are older than all of a full coin are
/// ignored, since it is not known whether they have been seen.
pub fn save_posts(conn: &mut PgConnection, provider: &str, posts: &PostsOfCoins) -> QueryResult<()> {
    // Rows are unique in three ways, so without these locks two batches could wait for each other's rows.
    sql_query(
        "SELECT pg_advisory_xact_lock(hashtextextended('social_posts', id)) FROM unnest($1) AS coin (id)",
    )
    .bind::<Array<BigInt>, _>(posts.keys().copied().collect::<Vec<_>>())
    .execute(conn)?;
    let posts = new_posts(conn, provider, posts)?;
    let mut counted = marks_near(conn, &posts)?;
    let judged = posts.into_iter().flat_map(|(coin, posts)| {
        let counted = counted.remove(&coin).unwrap_or_default();
        post::drop_repeated(posts, counted).into_iter().map(move |post| (coin, post))
    });
    let judged: Vec<(CoinId, ScoredPost)> = judged.collect();
    let added = insert(conn, provider, &judged)?;
    if !added.is_empty() {
        hours::add(conn, provider, &added)?;
        delete_oldest(conn, provider, added.iter().map(|post| post.coin_id).collect())?;
    }
    Ok(())
}

/// Inserts posts. Returns those that were not stored yet.
fn insert(
    conn: &mut PgConnection,
    provider: &str,
    posts: &[(CoinId, ScoredPost)],
) -> QueryResult<Vec<AddedPost>> {
    fn column<T>(posts: &[(CoinId, ScoredPost)], of: impl Fn(&ScoredPost) -> T) -> Vec<T> {
        posts.iter().map(|(_, post)| of(post)).collect()
    }
    sql_query(
        "INSERT INTO social_posts (provider, coin_id, post_hash, text_hash, near_hash, author_hash, thread_hash, \
             posted_at, dropped, compound, basic, crypto) \
         SELECT $1, new.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS new \
         ON CONFLICT DO NOTHING RETURNING coin_id, posted_at, dropped",
    )
    .bind::<Text, _>(provider)
    .bind::<Array<BigInt>, _>(posts.iter().map(|(coin, _)| *coin).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(column(posts, |post| post.post_hash))
    .bind::<Array<BigInt>, _>(column(posts, |post| post.text_hash))
    .bind::<Array<Nullable<BigInt>>, _>(column(posts, |post| post.near_hash))
    .bind::<Array<BigInt>, _>(column(posts, |post| post.author_hash))
    .bind::<Array<Nullable<BigInt>>, _>(column(posts, |post| post.thread_hash))
    .bind::<Array<Timestamptz>, _>(column(posts, |post| post.at))
    .bind::<Array<Nullable<Text>>, _>(column(posts, |post| post.scored.err()))
    .bind::<Array<Nullable<Double>>, _>(column(posts, |post| post.scored.ok().map(|scored| scored.compound)))
    .bind::<Array<Nullable<Double>>, _>(column(posts, |post| post.scored.ok().map(|scored| scored.basic)))
    .bind::<Array<Nullable<Double>>, _>(column(posts, |post| post.scored.ok()?.crypto))
    .load(conn)
}

/// Returns the posts that are not stored yet.
fn new_posts(conn: &mut PgConnection, provider: &str, posts: &PostsOfCoins) -> QueryResult<PostsOfCoins> {
    #[derive(QueryableByName)]
    struct Known {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = BigInt)]
        post_hash: i64,
    }
    #[derive(QueryableByName)]
    struct Oldest {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = Timestamptz)]
        posted_at: DateTime<Utc>,
    }
    let hashes = posts.iter().flat_map(|(coin, posts)| posts.iter().map(|post| (*coin, post.post_hash)));
    let (coins, hashes): (Vec<CoinId>, Vec<i64>) = hashes.unzip();
    let known: Vec<Known> = sql_query(
        "SELECT coin_id, post_hash FROM social_posts \
         JOIN unnest($2, $3) AS new (coin, hash) ON coin_id = coin AND post_hash = hash WHERE provider = $1",
    )
    .bind::<Text, _>(provider)
    .bind::<Array<BigInt>, _>(coins)
    .bind::<Array<BigInt>, _>(hashes)
    .load(conn)?;
    let oldest: Vec<Oldest> = sql_query(
        "SELECT coin_id, posted_at FROM unnest($2) AS coin (id), LATERAL (SELECT coin_id, posted_at FROM social_posts \
             WHERE coin_id = coin.id AND provider = $1 ORDER BY posted_at DESC, post_hash DESC OFFSET $3 LIMIT 1) AS oldest",
    )
    .bind::<Text, _>(provider)
    .bind::<Array<BigInt>, _>(posts.keys().copied().collect::<Vec<_>>())
    .bind::<BigInt, _>(OLDEST_KEPT)
    .load(conn)?;
    let mut seen: HashSet<(CoinId, i64)> =
        known.into_iter().map(|Known { coin_id, post_hash }| (coin_id, post_hash)).collect();
    let oldest: HashMap<CoinId, DateTime<Utc>> =
        oldest.into_iter().map(|Oldest { coin_id, posted_at }| (coin_id, posted_at)).collect();
    let new = posts.iter().map(|(coin, posts)| {
        let is_new = |post: &&ScoredPost| {
            oldest.get(coin).is_none_or(|oldest| post.at > *oldest) && seen.insert((*coin, post.post_hash))
        };
        (*coin, posts.iter().filter(is_new).cloned().collect())
    });
    Ok(new.collect())
}

/// Returns the marks of the counted posts that these could repeat.
fn marks_near(conn: &mut PgConnection, posts: &PostsOfCoins) -> QueryResult<HashMap<CoinId, Vec<Marks>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = BigInt)]
        text_hash: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        near_hash: Option<i64>,
        #[diesel(sql_type = BigInt)]
        author_hash: i64,
        #[diesel(sql_type = Timestamptz)]
        posted_at: DateTime<Utc>,
    }
    let (mut coins, mut from, mut until) = (Vec::new(), Vec::new(), Vec::new());
    for (coin, posts) in posts {
        let times = || posts.iter().map(|post| post.at);
        if let (Some(oldest), Some(newest)) = (times().min(), times().max()) {
            coins.push(*coin);
            from.push(oldest - post::NEAR_TIME);
            until.push(newest + post::NEAR_TIME);
        }
    }
    let texts = posts.iter().flat_map(|(coin, posts)| posts.iter().map(|post| (*coin, post.text_hash)));
    let (coins_of_texts, texts): (Vec<CoinId>, Vec<i64>) = texts.unzip();
    // Two joins instead of one with OR, so that an index can find equal texts.
    let rows: Vec<Row> = sql_query(
        "SELECT coin_id, text_hash, near_hash, author_hash, posted_at FROM social_posts \
         JOIN unnest($1, $2, $3) AS batch (coin, earliest, latest) \
             ON coin_id = coin AND posted_at BETWEEN earliest AND latest \
         WHERE dropped IS NULL \
         UNION SELECT coin_id, text_hash, near_hash, author_hash, posted_at FROM social_posts \
         JOIN unnest($4, $5) AS text (coin, hash) ON coin_id = coin AND text_hash = hash \
         WHERE dropped IS NULL",
    )
    .bind::<Array<BigInt>, _>(coins)
    .bind::<Array<Timestamptz>, _>(from)
    .bind::<Array<Timestamptz>, _>(until)
    .bind::<Array<BigInt>, _>(coins_of_texts)
    .bind::<Array<BigInt>, _>(texts)
    .load(conn)?;
    let mut marks: HashMap<CoinId, Vec<Marks>> = HashMap::new();
    for Row { coin_id, text_hash, near_hash, author_hash, posted_at } in rows {
        marks.entry(coin_id).or_default().push(Marks { text_hash, near_hash, author_hash, at: posted_at });
    }
    Ok(marks)
}

/// Deletes all but the newest posts of these coins.
fn delete_oldest(conn: &mut PgConnection, provider: &str, of: HashSet<CoinId>) -> QueryResult<()> {
    // Materialized, since the oldest could otherwise be found again for each post.
    sql_query(
        "WITH oldest AS MATERIALIZED (SELECT kept.* FROM unnest($1) AS coin (id), \
             LATERAL (SELECT coin_id, posted_at, post_hash FROM social_posts WHERE coin_id = coin.id AND provider = $2 \
                 ORDER BY posted_at DESC, post_hash DESC OFFSET $3 LIMIT 1) AS kept) \
         DELETE FROM social_posts p USING oldest WHERE p.coin_id = oldest.coin_id AND p.provider = $2 \
             AND (p.posted_at, p.post_hash) < (oldest.posted_at, oldest.post_hash)",
    )
    .bind::<Array<BigInt>, _>(of.into_iter().collect::<Vec<_>>())
    .bind::<Text, _>(provider)
    .bind::<BigInt, _>(OLDEST_KEPT)
    .execute(conn)?;
    Ok(())
}
