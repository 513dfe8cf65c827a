//! Bounds what providers report: amounts and times that are possible.

use chrono::{DateTime, Datelike, Utc};

/// The year in which bitcoin began; no market data is older.
const MIN_YEAR: i32 = 2009;
/// More than all money in any currency.
const MAX_AMOUNT: f64 = 1e21;

/// Returns an amount that is possible, which may be 0.
pub fn amount(value: Option<f64>) -> Option<f64> {
    value.filter(|value| (0.0..=MAX_AMOUNT).contains(value))
}

/// Returns a possible amount above 0.
pub fn positive(value: Option<f64>) -> Option<f64> {
    amount(value).filter(|value| *value > 0.0)
}

/// Returns a time of market data; one in the future counts as now, because it comes from another clock.
pub fn time(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    time.filter(|time| time.year() >= MIN_YEAR).map(|time| time.min(now))
}
