//! What the API says of people's posts about a coin.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sentiment::{Confidence, Interval, Reason, Shares};

/// What people say about a coin: the newest English posts of the last 7 days, at most 100,
/// without retweets and exact duplicates. Null is what cannot be told; `missing` says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Social {
    /// Mean of the posts' VADER compounds, from -1 (all bad) to 1 (all good).
    #[schema(example = 0.1642)]
    pub sentiment: Option<f64>,
    /// Mean of VADER's positive minus negative share of the words without stop words; kept for
    /// comparison, since it loses negations.
    #[schema(example = 0.1175)]
    pub sentiment_basic: Option<f64>,
    /// 95% confidence interval of `sentiment`.
    pub interval: Option<Interval>,
    /// Standard deviation of the compounds.
    #[schema(example = 0.4312)]
    pub standard_deviation: Option<f64>,
    pub shares: Option<Shares>,
    /// Posts that were scored.
    #[schema(example = 100, minimum = 0)]
    pub sample_size: i64,
    pub confidence: Confidence,
    /// English posts an hour, of all sources together.
    #[schema(example = 212.8)]
    pub posts_per_hour: Option<f64>,
    /// 95% confidence interval of `posts_per_hour`.
    pub posts_per_hour_interval: Option<Interval>,
    /// `posts_per_hour` as a ratio to that of bitcoin, by the sources that know both.
    #[schema(example = 0.31)]
    pub popularity: Option<f64>,
    /// Why numbers are null; not there if none is.
    #[serde(default, skip_serializing_if = "Missing::is_empty")]
    #[schema(required = false)]
    pub missing: Missing,
    /// Where the posts were published, and who else was read in the last 24 hours: `mastodon`,
    /// `bluesky`, `x`.
    #[schema(example = json!(["mastodon"]))]
    pub sources: Vec<String>,
    /// When the sources were last read.
    pub as_of: DateTime<Utc>,
}

/// Why numbers are null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posts_per_hour: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub popularity: Option<Reason>,
}

impl Missing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
