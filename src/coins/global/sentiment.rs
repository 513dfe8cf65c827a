//! Computes the mean sentiment of all coins from the figures that are served.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::reason::GlobalReason;
use crate::{
    market::Coin,
    sentiment::{Interval, Reason, mean_of_groups},
    social::Social,
};

/// Fewer independent posts have the confidence `none`.
const MIN_EFFECTIVE_POSTS: f64 = 10.0;

/// The mean sentiment of the coins in our list, weighted by their posts.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GlobalSentiment {
    /// Mean of the posts' VADER compound scores, from -1 (negative) to 1 (positive).
    #[schema(example = 0.1487)]
    pub sentiment: f64,
    /// 95% confidence interval of `sentiment`, with each coin as one cluster. Null below five coins of equal weight.
    pub interval: Option<Interval>,
    /// As `sentiment`, by the rules of VADER with the words of crypto markets.
    #[schema(example = 0.2114)]
    pub sentiment_crypto: Option<f64>,
    /// 95% confidence interval of `sentiment_crypto`.
    pub sentiment_crypto_interval: Option<Interval>,
    /// Number of coins with posts. A coin whose sources were not read lately does not count.
    #[schema(example = 18, minimum = 1)]
    pub coins: i64,
    /// Number of their posts; one about two coins counts for each.
    #[schema(example = 1204, minimum = 1)]
    pub posts: i64,
    /// Until when the sources that count were read: the earliest of all coins.
    pub as_of: DateTime<Utc>,
    /// Why `interval` is null; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub missing_interval: Option<Reason>,
}

impl GlobalSentiment {
    /// Returns the reason if there are too few posts, or if no source was read lately.
    pub fn of(coins: &[Coin]) -> Result<Self, GlobalReason> {
        let current: Vec<&Social> =
            coins.iter().filter_map(|coin| coin.social.as_ref()).filter(|social| !social.stale).collect();
        let as_of = current.iter().map(|social| social.as_of).min().ok_or(GlobalReason::NotHeard)?;
        let scored: Vec<&Social> = current.into_iter().filter(|social| social.sentiment.is_some()).collect();
        let effective: f64 = scored.iter().map(|social| social.effective_sample_size).sum();
        let (sentiment, interval) = mean_of_groups(&groups(&scored, |social| social.sentiment))
            .filter(|_| effective >= MIN_EFFECTIVE_POSTS)
            .ok_or(GlobalReason::TooFewPosts)?;
        let by_crypto = mean_of_groups(&groups(&scored, |social| social.sentiment_crypto));
        Ok(Self {
            sentiment: rounded(sentiment),
            interval: interval.ok().map(rounded_interval),
            sentiment_crypto: by_crypto.map(|(mean, _)| rounded(mean)),
            sentiment_crypto_interval: by_crypto
                .and_then(|(_, interval)| interval.ok())
                .map(rounded_interval),
            coins: i64::try_from(scored.len()).expect("few coins"),
            posts: scored.iter().map(|social| social.sample_size).sum(),
            as_of,
            missing_interval: interval.err().map(Reason::from),
        })
    }
}

/// The numbers of posts and the means of the coins that have one.
fn groups(coins: &[&Social], mean: fn(&Social) -> Option<f64>) -> Vec<(f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "at most 100 posts")]
    let group = |social: &&Social| Some((social.sample_size as f64, mean(social)?));
    coins.iter().filter_map(group).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn rounded_interval(interval: Interval) -> Interval {
    Interval { low: rounded(interval.low), high: rounded(interval.high) }
}
