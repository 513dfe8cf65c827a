//! Defines `social` of a coin in the API: figures of people's posts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sentiment::{Confidence, Interval, Reason, Shares};

/// Sentiment and popularity of a coin, from the newest English posts of the last 7 days: at most 100, without reposts,
/// repeated texts, further posts of an author within an hour, and posts that tag more than five coins. A figure that cannot be computed is null, and `missing` has the reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Social {
    /// Mean of the posts' VADER compound scores, from -1 (negative) to 1 (positive).
    #[schema(example = 0.1642)]
    pub sentiment: Option<f64>,
    /// Mean of VADER's positive minus negative share, of each post's words without stop words. For comparison only: without
    /// stop words negations are lost.
    #[schema(example = 0.1175)]
    pub sentiment_basic: Option<f64>,
    /// Mean of the posts' compound scores by the rules of VADER with the words of crypto markets, from -1 (negative) to 1
    /// (positive).
    #[schema(example = 0.2308)]
    pub sentiment_crypto: Option<f64>,
    /// 95% confidence interval of `sentiment_crypto`.
    pub sentiment_crypto_interval: Option<Interval>,
    /// The name and version of the list of words behind `sentiment_crypto`.
    #[schema(example = "crypto-1")]
    pub lexicon: String,
    pub coverage: SentimentCoverage,
    /// 95% confidence interval of `sentiment`, which allows for posts that depend on each other. Null below five independent
    /// posts, or if all have the same score.
    pub interval: Option<Interval>,
    /// Sample standard deviation of the compound scores.
    #[schema(example = 0.4312)]
    pub standard_deviation: Option<f64>,
    pub shares: Option<Shares>,
    /// Number of posts that were scored.
    #[schema(example = 100, minimum = 0)]
    pub sample_size: i64,
    /// Time of the oldest post that was scored; null if there is none.
    #[schema(example = "2026-11-20T03:12:40Z")]
    pub sample_from: Option<DateTime<Utc>>,
    /// Time of the newest post that was scored; null if there is none.
    #[schema(example = "2026-11-20T09:59:58Z")]
    pub sample_to: Option<DateTime<Utc>>,
    /// Number of people who wrote the posts that were scored. The same person on two networks counts as two.
    #[schema(example = 87, minimum = 0)]
    pub authors: i64,
    pub dropped: DroppedPosts,
    /// Number of independent posts whose mean would be as uncertain as `sentiment`; less than `sample_size` if people
    /// repeat themselves or answer each other.
    #[schema(example = 71.2, minimum = 0)]
    pub effective_sample_size: f64,
    pub confidence: Confidence,
    /// English posts per hour in the last 24 hours, or the part of them that the sources have covered; the sum over all
    /// sources. An author counts once an hour. Rounded to three significant digits.
    #[schema(example = 213.0, minimum = 0)]
    pub posts_per_hour: Option<f64>,
    /// 95% confidence interval of `posts_per_hour`.
    pub posts_per_hour_interval: Option<Interval>,
    /// Start of the time in which `posts_per_hour` was counted; the earliest of all sources.
    #[schema(example = "2026-11-19T10:00:00Z")]
    pub posts_from: Option<DateTime<Utc>>,
    /// End of that time; the latest of all sources.
    #[schema(example = "2026-11-20T10:00:00Z")]
    pub posts_to: Option<DateTime<Utc>>,
    /// Ratio of the posts about the coin to those about bitcoin, of the sources that count both, over the time that both
    /// cover. Rounded to three significant digits; 1 for bitcoin.
    #[schema(example = 0.31, minimum = 0)]
    pub popularity: Option<f64>,
    /// 95% confidence interval of `popularity`; null for bitcoin, which is compared with itself.
    pub popularity_interval: Option<Interval>,
    /// Reasons for figures that are null; absent if none is.
    #[serde(default, skip_serializing_if = "Missing::is_empty")]
    #[schema(required = false)]
    pub missing: Missing,
    /// Providers of the posts, and those that were read in the last 24 hours without a new post: `mastodon`, `bluesky`,
    /// `x`.
    #[schema(example = json!(["mastodon"]))]
    pub sources: Vec<String>,
    /// The words and hashtags that are searched for. Ambiguous ones count only next to a word such as *coin* or another
    /// name of the coin. Empty if no source can search for it.
    #[schema(example = json!(["#bitcoin", "#btc"]))]
    pub query: Vec<String>,
    /// Until when the sources that count were read: the earliest of them. If none was read lately, when the last one was.
    pub as_of: DateTime<Utc>,
    /// When the figures were computed.
    pub updated_at: DateTime<Utc>,
    /// Whether no source of the figures was read lately; `social_sources` has the state of each. It turns true as time
    /// passes, also without a sync.
    #[schema(example = false)]
    pub stale: bool,
}

/// Numbers of posts that were left out between `sample_from` and now, by reason; without a sample, in the last 7 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"language": 41, "duplicate": 17, "author": 12, "tags": 3}))]
pub struct DroppedPosts {
    /// Posts that are not English.
    #[schema(minimum = 0)]
    pub language: i64,
    /// Posts with the same or a similar text as one that counts.
    #[schema(minimum = 0)]
    pub duplicate: i64,
    /// Further posts of the same author within an hour.
    #[schema(minimum = 0)]
    pub author: i64,
    /// Posts that tag more than five coins.
    #[schema(minimum = 0)]
    pub tags: i64,
}

/// Shares of the posts that have a signal, from 0 to 1: a score that is not 0. Posts without one count as neutral.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SentimentCoverage {
    /// Share of the posts with a score behind `sentiment` that is not 0; null without posts.
    #[schema(example = 0.41)]
    pub sentiment: Option<f64>,
    /// Share of the posts with a score behind `sentiment_crypto` that is not 0; null without posts.
    #[schema(example = 0.73)]
    pub sentiment_crypto: Option<f64>,
}

/// Reasons for figures that are null; a figure that is known has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub sentiment: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub sentiment_crypto: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub sentiment_crypto_interval: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub interval: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub posts_per_hour: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reason, required = false)]
    pub popularity: Option<Reason>,
}

impl Missing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
