//! Selects and sorts coins: the query parameters that the list, the sparse list and the table share.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashSet},
};

use actix_web::{HttpRequest, web::Data};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{body::AbsentCoin, watchlist};
use crate::{
    db::{CoinId, Db},
    http::{Problem, kind},
    market::{Coin, Identity, Snapshot},
    sentiment::Confidence,
    tokens::{
        AllowedUncounted,
        api_keys::{CoinsRead, WatchlistRead},
    },
};

const MAX_SYMBOLS: usize = 100;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Selection {
    /// Maximum number of coins; all by default.
    #[param(minimum = 1, maximum = 250, example = 10)]
    #[validate(range(min = 1, max = 250, message = "must be from 1 to 250"))]
    limit: Option<u32>,
    /// Sort key. `sentiment` and `sentiment_basic` sort by the mean as if 20 more posts had the mean of all posts, so that few
    /// posts cannot be first or last by chance. Coins with `confidence` `none` come after the others in both directions.
    #[serde(default)]
    #[param(inline, example = "percent_change_24h")]
    sort: Sort,
    /// Direction: by default `asc` for rank, symbol and name, `desc` for the others. Null values come last in both.
    #[param(inline, example = "desc")]
    order: Option<Order>,
    /// Searches for part of a name or the start of a symbol, in any case; 1 to 100 characters.
    #[param(min_length = 1, max_length = 100, example = "bit")]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    q: Option<String>,
    /// Returns only these ticker symbols, in any case: up to 100, comma-separated, such as `btc,eth`.
    #[param(
        max_length = 1000,
        pattern = r"^[^,]*[^,\s][^,]*(,[^,]*[^,\s][^,]*){0,99}$",
        example = "btc,eth"
    )]
    #[validate(length(min = 1, max = 1000, message = "must have 1 to 1000 characters"))]
    symbols: Option<String>,
    /// ISO 4217 code of the amounts: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "GBP")]
    pub currency: Option<String>,
    // Documented by the operations that take it.
    #[param(ignore)]
    #[validate(length(min = 1, max = 1000, message = "must have 1 to 1000 characters"))]
    pub fields: Option<String>,
    // Documented by the operation that takes it.
    #[param(ignore)]
    pub bom: Option<bool>,
    // Documented by the operation that takes it.
    #[param(ignore)]
    sparkline: Option<bool>,
    /// Returns only the coins on your watch list.
    #[serde(default)]
    #[param(default = false, example = true)]
    watchlist: bool,
}

/// The coins on the user's watch list.
pub struct Watched(BTreeMap<CoinId, Identity>);

impl Watched {
    /// Returns those of which the snapshot has no data.
    pub fn absent(mut self, snapshot: &Snapshot) -> Vec<AbsentCoin> {
        for coin in &snapshot.coins {
            self.0.remove(&coin.id);
        }
        self.0.into_values().map(AbsentCoin::from).collect()
    }
}

impl Selection {
    /// Whether all coins are selected, in order of rank.
    pub fn selects_everything(&self) -> bool {
        self.limit.is_none()
            && self.sort == Sort::Rank
            && self.order.is_none()
            && self.q.is_none()
            && self.symbols.is_none()
            && !self.watchlist
    }

    /// Whether the coins should have their sparklines.
    pub fn has_sparklines(&self) -> bool {
        self.sparkline == Some(true)
    }

    /// Refuses `sparkline`, for operations that take `fields`.
    ///
    /// # Errors
    /// `malformed-query`.
    pub fn refuse_sparkline(&self) -> Result<(), Problem> {
        if self.sparkline.is_some() {
            let message = "is a parameter of GET /api/v1/coins; here `fields` names `sparkline_7d`";
            return Err(Problem::new(&kind::MALFORMED_QUERY).field("/sparkline", "query", message));
        }
        Ok(())
    }

    /// Refuses `bom`, for operations other than the table.
    ///
    /// # Errors
    /// `malformed-query`.
    pub fn refuse_bom(&self) -> Result<(), Problem> {
        if self.bom.is_some() {
            let message = "is a parameter of GET /api/v1/coins.csv";
            return Err(Problem::new(&kind::MALFORMED_QUERY).field("/bom", "query", message));
        }
        Ok(())
    }

    /// Reads the user's watch list, if only its coins are selected.
    ///
    /// # Errors
    /// `insufficient-scope` for an API key that may not read it.
    pub async fn watched(
        &self,
        req: &HttpRequest,
        me: &AllowedUncounted<CoinsRead>,
    ) -> Result<Option<Watched>, Problem> {
        if !self.watchlist {
            return Ok(None);
        }
        me.0.require::<WatchlistRead>()?;
        let db = req.app_data::<Data<Db>>().expect("set by the app");
        let coins = watchlist::coins(db, me.0.id).await?;
        Ok(Some(Watched(coins.into_iter().map(|coin| (coin.id, coin)).collect())))
    }

    /// Selects from the list of a snapshot, or from all coins on the watch list.
    ///
    /// # Errors
    /// `validation-failed`.
    pub fn of<'a>(
        &self,
        snapshot: &'a Snapshot,
        watched: Option<&Watched>,
    ) -> Result<Vec<&'a Coin>, Problem> {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        let symbols: Option<HashSet<String>> =
            self.symbols.as_ref().map(|list| list.split(',').map(|one| one.trim().to_lowercase()).collect());
        if symbols.as_ref().is_some_and(|symbols| symbols.len() > MAX_SYMBOLS || symbols.contains("")) {
            let message = format!("must be up to {MAX_SYMBOLS} comma-separated ticker symbols");
            return Err(Problem::invalid("/symbols", "list", message));
        }
        let matches = |coin: &&Coin| {
            let symbol = coin.symbol.to_lowercase();
            watched.is_none_or(|watched| watched.0.contains_key(&coin.id))
                && symbols.as_ref().is_none_or(|symbols| symbols.contains(&symbol))
                && text
                    .as_ref()
                    .is_none_or(|text| coin.name.to_lowercase().contains(text) || symbol.starts_with(text))
        };
        let coins = if watched.is_some() { &snapshot.coins } else { snapshot.list() };
        let mut found: Vec<&Coin> = coins.iter().filter(matches).collect();
        let by_default = match self.sort {
            Sort::Rank | Sort::Symbol | Sort::Name => Order::Asc,
            _ => Order::Desc,
        };
        let order = self.order.unwrap_or(by_default);
        let overall = overall_mean(coins, self.sort);
        // A stable sort keeps equal coins in order of rank.
        found.sort_by(|a, b| compare(a, b, self.sort, order, overall));
        found.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(found)
    }
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(default = "rank")]
pub enum Sort {
    #[default]
    Rank,
    Symbol,
    Name,
    Price,
    #[serde(rename = "volume_24h")]
    Volume24h,
    #[serde(rename = "volume_change_24h")]
    VolumeChange24h,
    #[serde(rename = "percent_change_1h")]
    PercentChange1h,
    #[serde(rename = "percent_change_24h")]
    PercentChange24h,
    #[serde(rename = "percent_change_7d")]
    PercentChange7d,
    #[serde(rename = "percent_change_30d")]
    PercentChange30d,
    MarketCap,
    Sentiment,
    SentimentBasic,
    SentimentCrypto,
    Popularity,
    PostsPerHour,
}

#[derive(Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Asc,
    Desc,
}

/// Posts with the mean of all coins that are added to each coin's own when coins are compared.
const PRIOR_POSTS: f64 = 20.0;

/// Returns the mean over the posts of all coins; 0 without any, or for other sort keys.
fn overall_mean(coins: &[Coin], sort: Sort) -> f64 {
    let (mut sum, mut posts) = (0.0, 0.0);
    for coin in coins {
        if let Some((mean, size)) = mean_of_posts(coin, sort) {
            sum += mean * size;
            posts += size;
        }
    }
    if posts > 0.0 { sum / posts } else { 0.0 }
}

/// Returns the mean that is the sort key, and the number of its posts.
fn mean_of_posts(coin: &Coin, sort: Sort) -> Option<(f64, f64)> {
    let social = coin.social.as_ref()?;
    let mean = match sort {
        Sort::Sentiment => social.sentiment?,
        Sort::SentimentBasic => social.sentiment_basic?,
        Sort::SentimentCrypto => social.sentiment_crypto?,
        _ => return None,
    };
    Some((mean, f64::from(u32::try_from(social.sample_size).unwrap_or_default())))
}

fn compare(a: &Coin, b: &Coin, sort: Sort, order: Order, overall: f64) -> Ordering {
    let directed = |ordering: Ordering| match order {
        Order::Asc => ordering,
        Order::Desc => ordering.reverse(),
    };
    match sort {
        Sort::Rank => directed(a.rank.cmp(&b.rank)),
        Sort::Symbol => directed(a.symbol.cmp(&b.symbol)),
        Sort::Name => directed(a.name.to_lowercase().cmp(&b.name.to_lowercase())),
        _ => match (value(a, sort, overall), value(b, sort, overall)) {
            (Some(x), Some(y)) => {
                is_weak(a, sort).cmp(&is_weak(b, sort)).then_with(|| directed(x.total_cmp(&y)))
            }
            (a, b) => b.is_some().cmp(&a.is_some()),
        },
    }
}

/// Whether the sort key is a mean of too few posts to say anything.
fn is_weak(coin: &Coin, sort: Sort) -> bool {
    let is_mean = matches!(sort, Sort::Sentiment | Sort::SentimentBasic | Sort::SentimentCrypto);
    is_mean && coin.social.as_ref().is_some_and(|social| social.confidence == Confidence::None)
}

fn value(coin: &Coin, sort: Sort, overall: f64) -> Option<f64> {
    let social = coin.social.as_ref();
    match sort {
        Sort::Rank | Sort::Symbol | Sort::Name => None,
        Sort::Price => coin.price,
        Sort::Volume24h => coin.volume_24h,
        Sort::VolumeChange24h => coin.volume_change_24h,
        Sort::PercentChange1h => coin.percent_change_1h,
        Sort::PercentChange24h => coin.percent_change_24h,
        Sort::PercentChange7d => coin.percent_change_7d,
        Sort::PercentChange30d => coin.percent_change_30d,
        Sort::MarketCap => coin.market_cap,
        Sort::Sentiment | Sort::SentimentBasic | Sort::SentimentCrypto => {
            let (mean, posts) = mean_of_posts(coin, sort)?;
            Some((posts * mean + PRIOR_POSTS * overall) / (posts + PRIOR_POSTS))
        }
        Sort::Popularity => social?.popularity,
        Sort::PostsPerHour => social?.posts_per_hour,
    }
}
