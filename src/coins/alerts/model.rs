//! Defines an alert as it is stored and shown.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::metric::{AlertMetric, Direction};
use crate::db::{CoinId, schema::alerts};

/// Sends you a mail when a number of a coin, or the value of your portfolio, crosses a threshold.
#[derive(Clone, Queryable, Selectable, Insertable, Serialize, ToSchema)]
#[diesel(table_name = alerts)]
pub struct Alert {
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    pub id: Uuid,
    /// The coin's id; null for `portfolio_value`.
    #[schema(value_type = Option<i64>, example = 1)]
    #[diesel(column_name = coin_id)]
    pub coin: Option<CoinId>,
    #[schema(inline)]
    pub metric: AlertMetric,
    /// ISO 4217 code of the amounts, or of the prices that a percent change is of; null for `sentiment` and `popularity`.
    #[schema(example = "GBP")]
    pub currency: Option<String>,
    #[schema(inline)]
    pub direction: Direction,
    /// `price`, `volume_24h`, `portfolio_value`: an amount in `currency`. `percent_change_…`: percent. `sentiment`: -1 to 1.
    /// `popularity`: a ratio to bitcoin's.
    #[schema(example = 75_000.0)]
    pub threshold: f64,
    /// How far the number must go back from the threshold before it can cross again.
    #[schema(example = 1500.0)]
    pub hysteresis: f64,
    /// Whether the alert is deleted after its first crossing.
    #[schema(example = false)]
    pub once: bool,
    /// Whether the next value at or beyond the threshold counts as a crossing.
    #[schema(example = true)]
    pub armed: bool,
    pub created_at: DateTime<Utc>,
    /// Time of the last crossing; null before the first.
    #[schema(example = json!(null))]
    pub crossed_at: Option<DateTime<Utc>>,
}
