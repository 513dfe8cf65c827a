//! Writes a history as arrays, one for each member of its points, as chart libraries take it.
//!
//! The names are those of a history of the UDF (Universal Data Feed) of chart libraries, so the body is one; members that
//! UDF does not know have their full name.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{body::Attribution, metric::Metric};
use crate::{db::CoinId, market::Point};

#[derive(Serialize, ToSchema)]
pub struct HistoryArrays {
    /// The coin's id.
    #[schema(value_type = i64, example = 1)]
    pub coin: CoinId,
    /// ISO 4217 code of the prices.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Length of an interval, in seconds.
    #[schema(example = 3600)]
    pub interval_seconds: i32,
    /// When the newest data of the coin was current, according to its provider; null if the coin left the list more than 7
    /// days ago.
    pub as_of: Option<DateTime<Utc>>,
    /// Whether the numbers are invented, as those of `demo` and `simulation`.
    pub simulated: bool,
    /// The sources of the points. For sentiment and popularity they are the `social.sources` of the coin now.
    pub attributions: Vec<Attribution>,
    #[serde(flatten)]
    pub columns: HistoryColumns,
}

/// The points, the oldest first: all arrays have the same length. With `metric`, those of the other metrics are left out.
#[derive(Serialize, ToSchema)]
pub struct HistoryColumns {
    /// `no_data` if there is no point.
    s: HistoryState,
    /// Start of each interval, as Unix time in seconds.
    #[schema(example = json!([1_763_632_800]))]
    t: Vec<i64>,
    /// First price of each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([70_105.1]))]
    o: Option<Vec<Option<f64>>>,
    /// Highest price of each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([70_402.9]))]
    h: Option<Vec<Option<f64>>>,
    /// Lowest price of each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([69_980.4]))]
    l: Option<Vec<Option<f64>>>,
    /// Last price of each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([70_211.442_1]))]
    c: Option<Vec<Option<f64>>>,
    /// Mean of `volume_24h` in each interval: the amount traded in 24 hours, whatever the length of the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([112_536_391_040.63]))]
    v: Option<Vec<Option<f64>>>,
    /// Mean of `market_cap` in each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([1_400_804_910_814.55]))]
    market_cap: Option<Vec<Option<f64>>>,
    /// Mean of `sentiment` in each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([0.1642]))]
    sentiment: Option<Vec<Option<f64>>>,
    /// Mean of `popularity` in each interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false, example = json!([0.31]))]
    popularity: Option<Vec<Option<f64>>>,
    /// Number of syncs in each interval; 0 if it comes from the provider's own history.
    #[schema(example = json!([12]))]
    samples: Vec<i32>,
    /// Market data providers of each interval; left out without prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Vec<String>>, required = false, example = json!([["coinmarketcap"]]))]
    sources: Option<Vec<Vec<String>>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HistoryState {
    Ok,
    NoData,
}

impl HistoryColumns {
    pub fn new(points: &[Point], metric: Option<Metric>) -> Self {
        let has = |one: Metric| metric.is_none_or(|metric| metric == one);
        let column = |of: Metric, read: fn(&Point) -> Option<f64>| {
            has(of).then(|| points.iter().map(read).collect::<Vec<_>>())
        };
        Self {
            s: if points.is_empty() { HistoryState::NoData } else { HistoryState::Ok },
            t: points.iter().map(|point| point.at.timestamp()).collect(),
            o: column(Metric::Price, |point| point.open),
            h: column(Metric::Price, |point| point.high),
            l: column(Metric::Price, |point| point.low),
            c: column(Metric::Price, |point| point.close),
            v: column(Metric::Price, |point| point.volume_24h),
            market_cap: column(Metric::Price, |point| point.market_cap),
            sentiment: column(Metric::Sentiment, |point| point.sentiment),
            popularity: column(Metric::Popularity, |point| point.popularity),
            samples: points.iter().map(|point| point.samples).collect(),
            sources: has(Metric::Price).then(|| points.iter().map(|point| point.sources.clone()).collect()),
        }
    }
}
