//! Compares how many posts coins had in the last 24 hours with the days before.
//!
//! Full hours are compared, by the numbers of posts per hour. Only sources that are read count, and only the time since
//! which they are complete: otherwise a source that was added yesterday would make every coin a trend.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Text, Timestamptz},
};

use super::silence::{Sources, provider_of};
use crate::{
    db::{CoinId, schema::social_cursors},
    sentiment::{Count, Ratio, ratio},
};

const DAY: TimeDelta = TimeDelta::hours(24);
const WEEK: TimeDelta = TimeDelta::days(7);
/// Fewer days before do not say what is usual.
const MIN_BEFORE: TimeDelta = DAY;

/// The posts about a coin in 24 hours and in the time before.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    pub coin: CoinId,
    /// The providers that are counted, in alphabetical order.
    pub sources: Vec<String>,
    pub posts: Compared,
    pub authors: Compared,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// In the 24 hours.
    pub count: i64,
    /// The mean of 24 hours in the time before.
    pub usual: f64,
    /// How many times as many as usual; None if there were none before.
    pub change: Option<Ratio>,
}

/// The time that is covered of a coin.
struct Covered {
    providers: BTreeSet<String>,
    since: DateTime<Utc>,
}

/// Returns the end of the 24 hours: the last full hour that all sources which are read have covered.
pub fn last_full_hour(sources: &Sources, now: DateTime<Utc>) -> DateTime<Utc> {
    let lag = sources.heard(now).map(|source| sources.limit(source)).max().unwrap_or_default();
    (now - lag).duration_trunc(TimeDelta::hours(1)).expect("an hour of our time")
}

/// Compares the 24 hours until `to` with up to 7 days before. Coins with less than a day before are left out.
pub fn trends(
    conn: &mut PgConnection,
    of: &[CoinId],
    sources: &Sources,
    to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Trend>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = BigInt)]
        posts: i64,
        #[diesel(sql_type = BigInt)]
        authors: i64,
        #[diesel(sql_type = BigInt)]
        posts_before: i64,
        #[diesel(sql_type = BigInt)]
        authors_before: i64,
    }
    let from = to - DAY;
    let covered = covered(conn, of, sources, to, now)?;
    let pairs = covered.iter().flat_map(|(coin, covered)| {
        covered.providers.iter().map(|provider| (*coin, provider.as_str(), covered.since))
    });
    let (mut coins, mut providers, mut since) = (Vec::new(), Vec::new(), Vec::new());
    for (coin, provider, at) in pairs {
        coins.push(coin);
        providers.push(provider);
        since.push(at);
    }
    let rows: Vec<Row> = sql_query(
        "SELECT c.coin_id, \
             coalesce(sum(h.posts) FILTER (WHERE h.at >= $4), 0)::bigint AS posts, \
             coalesce(sum(h.authors) FILTER (WHERE h.at >= $4), 0)::bigint AS authors, \
             coalesce(sum(h.posts) FILTER (WHERE h.at < $4), 0)::bigint AS posts_before, \
             coalesce(sum(h.authors) FILTER (WHERE h.at < $4), 0)::bigint AS authors_before \
         FROM unnest($1, $2, $3) AS c (coin_id, provider, since) \
         LEFT JOIN social_hours h ON h.coin_id = c.coin_id AND h.source = c.provider AND h.step_seconds = 3600 \
             AND h.at >= c.since AND h.at < $5 \
         GROUP BY c.coin_id ORDER BY c.coin_id",
    )
    .bind::<Array<BigInt>, _>(&coins)
    .bind::<Array<Text>, _>(providers)
    .bind::<Array<Timestamptz>, _>(since)
    .bind::<Timestamptz, _>(from)
    .bind::<Timestamptz, _>(to)
    .load(conn)?;
    let trend = |row: Row| {
        let Covered { providers, since } = &covered[&row.coin_id];
        let before = from - *since;
        Trend {
            coin: row.coin_id,
            sources: providers.iter().cloned().collect(),
            posts: Compared::new(row.posts, row.posts_before, before),
            authors: Compared::new(row.authors, row.authors_before, before),
        }
    };
    Ok(rows.into_iter().map(trend).collect())
}

impl Compared {
    #[expect(clippy::cast_precision_loss, reason = "numbers of posts")]
    fn new(count: i64, before: i64, time: TimeDelta) -> Self {
        let own = Count { posts: count as f64, hours: DAY.as_seconds_f64() / 3600.0 };
        let other = Count { posts: before as f64, hours: time.as_seconds_f64() / 3600.0 };
        Self { count, usual: other.posts / other.hours * own.hours, change: ratio(own, other) }
    }
}

/// Returns the providers that have covered each coin until `to` and for a day before the 24 hours, and since when all of them
/// have. A provider that only tells its own numbers has no hours.
fn covered(
    conn: &mut PgConnection,
    of: &[CoinId],
    sources: &Sources,
    to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<CoinId, Covered>> {
    let heard: Vec<&str> = sources.heard(now).collect();
    let rows: Vec<(CoinId, String, DateTime<Utc>)> = social_cursors::table
        .filter(social_cursors::coin_id.eq_any(of).and(social_cursors::source.eq_any(heard)))
        .filter(social_cursors::covered_until.ge(to).and(social_cursors::counted_posts.is_null()))
        .select((social_cursors::coin_id, social_cursors::source, social_cursors::covered_since))
        .load(conn)?;
    let mut by_provider: HashMap<(CoinId, String), DateTime<Utc>> = HashMap::new();
    for (coin, source, since) in rows {
        // All instances of a provider share its hours, so the last one that was added decides.
        let known = by_provider.entry((coin, provider_of(&source).to_owned())).or_insert(since);
        *known = since.max(*known);
    }
    let from = to - DAY;
    let mut covered: HashMap<CoinId, Covered> = HashMap::new();
    for ((coin, provider), since) in by_provider {
        // Hours that are covered in part do not count.
        let full = TimeDelta::hours(1) - TimeDelta::microseconds(1);
        let since = (since + full).duration_trunc(TimeDelta::hours(1)).expect("an hour of our time");
        let since = since.max(from - WEEK);
        if since <= from - MIN_BEFORE {
            let one = covered.entry(coin).or_insert(Covered { providers: BTreeSet::new(), since });
            one.providers.insert(provider);
            one.since = since.max(one.since);
        }
    }
    Ok(covered)
}
