//! Defines what an alert can watch: the numbers, the side of the threshold, and which thresholds there can be.

use diesel::{deserialize::FromSqlRow, expression::AsExpression, sql_types::Text};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::super::unit::Unit;
use crate::db::text_enum;

/// Higher than any price.
const MAX_PRICE: f64 = 1e15;
/// Higher than any volume.
const MAX_AMOUNT: f64 = 1e18;
const MAX_PERCENT: f64 = 10_000.0;
/// Hysteresis of amounts and popularity, as a fraction of the threshold.
const DEFAULT_FRACTION: f64 = 0.02;
const MIN_FRACTION: f64 = 0.001;

/// The side of the threshold that counts as a crossing.
#[derive(
    AsExpression,
    FromSqlRow,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    EnumString,
    IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Direction {
    Above,
    Below,
}

impl Direction {
    /// Whether the value is at the threshold or beyond it.
    pub fn is_crossed(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value >= threshold,
            Self::Below => value <= threshold,
        }
    }
}

text_enum!(Direction);

/// A number that an alert watches.
#[derive(
    AsExpression,
    FromSqlRow,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    EnumString,
    IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[cfg_attr(test, derive(strum::EnumIter))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AlertMetric {
    Price,
    #[serde(rename = "volume_24h")]
    #[strum(serialize = "volume_24h")]
    Volume24h,
    #[serde(rename = "percent_change_1h")]
    #[strum(serialize = "percent_change_1h")]
    PercentChange1h,
    #[serde(rename = "percent_change_24h")]
    #[strum(serialize = "percent_change_24h")]
    PercentChange24h,
    #[serde(rename = "percent_change_7d")]
    #[strum(serialize = "percent_change_7d")]
    PercentChange7d,
    Sentiment,
    Popularity,
    /// What all holdings of the user are worth.
    PortfolioValue,
}

text_enum!(AlertMetric);

/// The thresholds that a metric can have, and how far its number must and can go back from one.
#[derive(Debug)]
pub struct Limits {
    lowest: f64,
    highest: f64,
    /// What a threshold must be, in words.
    pub rule: &'static str,
    pub default_hysteresis: f64,
    min_hysteresis: f64,
    /// How far the number can go back from the threshold.
    room: f64,
    /// Whether the number can go back that far, and not only almost.
    reaches_end: bool,
}

impl AlertMetric {
    /// What people call it.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Volume24h => "24-hour volume",
            Self::PercentChange1h => "1-hour change",
            Self::PercentChange24h => "24-hour change",
            Self::PercentChange7d => "7-day change",
            Self::Sentiment => "sentiment",
            Self::Popularity => "popularity",
            Self::PortfolioValue => "value",
        }
    }

    pub fn unit(self, currency: &str) -> Unit<'_> {
        match self {
            Self::Price | Self::Volume24h | Self::PortfolioValue => Unit::Money(currency),
            Self::PercentChange1h | Self::PercentChange24h | Self::PercentChange7d => Unit::Percent,
            Self::Sentiment => Unit::Sentiment,
            Self::Popularity => Unit::Popularity,
        }
    }

    /// Whether the number comes from posts, and not from prices.
    pub fn is_social(self) -> bool {
        matches!(self, Self::Sentiment | Self::Popularity)
    }

    pub fn limits(self, direction: Direction, threshold: f64) -> Limits {
        let (default_fraction, min_fraction) = (threshold * DEFAULT_FRACTION, threshold * MIN_FRACTION);
        // The range of the number, the highest threshold, and the default and least hysteresis.
        let (range, highest, rule, default, least) = match self {
            Self::Price | Self::Popularity => (
                (0.0, f64::INFINITY),
                MAX_PRICE,
                "must be more than 0 and at most 1e15",
                default_fraction,
                min_fraction,
            ),
            Self::Volume24h | Self::PortfolioValue => (
                (0.0, f64::INFINITY),
                MAX_AMOUNT,
                "must be more than 0 and at most 1e18",
                default_fraction,
                min_fraction,
            ),
            Self::PercentChange1h | Self::PercentChange24h | Self::PercentChange7d => (
                (-100.0, f64::INFINITY),
                MAX_PERCENT,
                "must be from -100 to 10000, and the number must be able to go back by 0.1",
                1.0,
                0.1,
            ),
            Self::Sentiment => (
                (-1.0, 1.0),
                1.0,
                "must be from -1 to 1, and the number must be able to go back by 0.01",
                0.05,
                0.01,
            ),
        };
        let room = match direction {
            Direction::Above => threshold - range.0,
            Direction::Below => range.1 - threshold,
        };
        Limits {
            lowest: range.0,
            highest,
            rule,
            default_hysteresis: f64::min(default, room),
            min_hysteresis: least,
            room,
            // A price, and what holdings are worth, stay above 0.
            reaches_end: !matches!(self, Self::Price | Self::PortfolioValue),
        }
    }
}

impl Limits {
    /// Whether the number can cross the threshold and go back.
    pub fn allow(&self, threshold: f64) -> bool {
        (self.lowest..=self.highest).contains(&threshold)
            && self.room > 0.0
            && self.room >= self.min_hysteresis
            // Not so low that a fraction of it underflows.
            && self.min_hysteresis > 0.0
    }

    /// Whether the number can go back by this, and it is not so little that an alert would repeat all the time.
    pub fn allow_hysteresis(&self, hysteresis: f64) -> bool {
        let is_reachable = if self.reaches_end { hysteresis <= self.room } else { hysteresis < self.room };
        hysteresis >= self.min_hysteresis && is_reachable
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn thresholds_are_those_that_the_number_can_cross_and_leave() {
        use AlertMetric::{PercentChange24h, PortfolioValue, Price, Sentiment, Volume24h};
        for (metric, direction, threshold, expected) in [
            (Price, Direction::Above, 75_000.0, true),
            (Price, Direction::Above, 0.0, false),
            (Price, Direction::Below, 1e-30, true),
            (Price, Direction::Below, 5e-324, false),
            (Price, Direction::Above, 1.1e15, false),
            (Volume24h, Direction::Above, 1.1e15, true),
            (PortfolioValue, Direction::Below, -1.0, false),
            (PercentChange24h, Direction::Below, -10.0, true),
            (PercentChange24h, Direction::Above, 0.0, true),
            (PercentChange24h, Direction::Above, -100.0, false),
            (PercentChange24h, Direction::Below, -100.0, true),
            (PercentChange24h, Direction::Above, 10_001.0, false),
            (Sentiment, Direction::Below, 1.0, false),
            (Sentiment, Direction::Above, 1.0, true),
        ] {
            let limits = metric.limits(direction, threshold);
            assert_eq!(limits.allow(threshold), expected, "{metric:?} {direction:?} {threshold}: {limits:?}");
        }
    }

    #[test]
    fn the_default_hysteresis_of_an_allowed_threshold_is_allowed() {
        for metric in AlertMetric::iter() {
            for direction in [Direction::Above, Direction::Below] {
                for threshold in [-99.5, -100.0, -0.5, 0.0, 0.4, 0.99, 5.0, 1000.0, 1e15] {
                    let limits = metric.limits(direction, threshold);
                    let default = limits.default_hysteresis;
                    assert!(
                        !limits.allow(threshold) || limits.allow_hysteresis(default),
                        "{metric:?} {direction:?} {threshold}: {limits:?}"
                    );
                }
            }
        }
    }
}
