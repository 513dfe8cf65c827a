//! Answers `GET /api/v1/coins/trending`: lists the coins that more people write about than usual.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::view::View;
use crate::{
    clock::Clock,
    db::{CoinId, Db, SnapshotId},
    http::{Problem, Query, respond_once},
    market,
    sentiment::{Interval, significant},
    social::{self, Compared, SocialSource, Sources, Trend},
    tokens::{Allowed, api_keys::CoinsRead},
};

const DEFAULT_LIMIT: usize = 10;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadTrending {
    /// Maximum number of coins; 10 by default.
    #[param(minimum = 1, maximum = 250, example = 10)]
    #[validate(range(min = 1, max = 250, message = "must be from 1 to 250"))]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub struct Trending {
    /// Start of the 24 hours (UTC).
    from: DateTime<Utc>,
    /// End of the 24 hours: the last full hour that all sources which are read have covered.
    to: DateTime<Utc>,
    /// Whether the coins and the posts are invented, such as those of a simulated market.
    #[schema(example = false)]
    simulated: bool,
    /// Sources of posts about coins, and when each was last read; empty if none is configured.
    social_sources: Vec<SocialSource>,
    /// Ordered by the lower end of the interval of `authors.change`, the highest first; coins without it follow. Coins of
    /// which less than 48 hours are covered are left out.
    data: Vec<TrendingCoin>,
}

/// How many posts and authors a coin had within 24 hours, compared with up to 7 days before.
#[derive(Serialize, ToSchema)]
pub struct TrendingCoin {
    #[schema(value_type = i64, example = 1)]
    id: CoinId,
    #[schema(example = "BTC")]
    symbol: String,
    #[schema(example = "Bitcoin")]
    name: String,
    #[schema(example = "bitcoin")]
    slug: String,
    #[schema(example = 1)]
    rank: i32,
    /// English posts that repeat no other one.
    posts: BesideUsual,
    /// Authors of these posts. Who writes in several hours counts once in each of them.
    authors: BesideUsual,
    /// The providers of the posts.
    #[schema(example = json!(["mastodon"]))]
    sources: Vec<String>,
}

/// A number of 24 hours beside the usual one.
#[derive(Serialize, ToSchema)]
pub struct BesideUsual {
    #[schema(example = 120)]
    count: i64,
    /// The mean of 24 hours in the days before.
    #[schema(example = 60.0)]
    usual: f64,
    /// `count` divided by `usual`: 2 means twice as many as usual. Null if there were none before.
    #[schema(example = 2.0)]
    change: Option<f64>,
    /// The 95% confidence interval of `change`, exact for independent posts (Clopper and Pearson 1934). Of many coins, one in
    /// 40 is above 1 by chance.
    interval: Option<Interval>,
}

/// The newest comparison, which is computed once and then shared.
#[derive(Default)]
pub struct Trends(Mutex<Option<Kept>>);

struct Kept {
    snapshot: SnapshotId,
    /// Other ones after each publication, also if posts are added to the same snapshot.
    sources: Arc<Sources>,
    /// The end of the 24 hours.
    to: DateTime<Utc>,
    found: Arc<Vec<Trend>>,
}

impl Kept {
    fn is_of(&self, snapshot: SnapshotId, sources: &Arc<Sources>, to: DateTime<Utc>) -> bool {
        self.snapshot == snapshot && Arc::ptr_eq(&self.sources, sources) && self.to == to
    }
}

/// List trending coins
///
/// Returns the coins that more people have written about within 24 hours than usual, which is the mean of up to 7 days
/// before. Only hours count that the sources have covered completely, so a coin needs two covered days.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ReadTrending,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The coins.", body = Trending,
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 304, description = "The response has not changed.")
    )
)]
#[get("/coins/trending")]
pub async fn list_trending_coins(
    req: HttpRequest,
    _: Allowed<CoinsRead>,
    query: Query<ReadTrending>,
    view: Data<View>,
    trends: Data<Trends>,
    clock: Data<Clock>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let (snapshot, now) = (view.current(None)?.snapshot.clone(), clock.now());
    let sources = view.sources();
    let to = social::last_full_hour(&sources, now);
    let limit = query.0.limit.map_or(DEFAULT_LIMIT, |limit| usize::try_from(limit).expect("small"));
    let mut kept = trends.0.lock().await;
    let found = match &*kept {
        Some(kept) if kept.is_of(snapshot.id, &sources, to) => kept.found.clone(),
        _ => {
            let coins: Vec<CoinId> = snapshot.list().iter().map(|coin| coin.id).collect();
            let of = sources.clone();
            let mut found = db.query(move |conn| social::trends(conn, &coins, &of, to, now)).await?;
            found.sort_by(|a, b| low(b).total_cmp(&low(a)).then(b.posts.count.cmp(&a.posts.count)));
            let found = Arc::new(found);
            *kept = Some(Kept { snapshot: snapshot.id, sources: sources.clone(), to, found: found.clone() });
            found
        }
    };
    drop(kept);
    let data = found.iter().filter_map(|trend| {
        let coin = snapshot.coins.iter().find(|coin| coin.id == trend.coin)?;
        Some(TrendingCoin {
            id: coin.id,
            symbol: coin.symbol.clone(),
            name: coin.name.clone(),
            slug: coin.slug.clone(),
            rank: coin.rank,
            posts: BesideUsual::from(&trend.posts),
            authors: BesideUsual::from(&trend.authors),
            sources: trend.sources.clone(),
        })
    });
    let data = data.take(limit).collect();
    let body = Trending {
        from: to - TimeDelta::hours(24),
        to,
        simulated: market::is_invented(&snapshot.provider),
        social_sources: sources.status(now),
        data,
    };
    Ok(respond_once(&req, &body))
}

/// The sort key: below 0 without an interval.
fn low(trend: &Trend) -> f64 {
    trend.authors.change.map_or(-1.0, |change| change.interval.low)
}

impl From<&Compared> for BesideUsual {
    fn from(compared: &Compared) -> Self {
        let interval = compared.change.map(|change| Interval {
            low: significant(change.interval.low),
            high: significant(change.interval.high),
        });
        Self {
            count: compared.count,
            usual: significant(compared.usual),
            change: compared.change.map(|change| significant(change.value)),
            interval,
        }
    }
}
