//! Defines a transaction as it is stored and shown.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{deserialize::FromSqlRow, expression::AsExpression, prelude::*, sql_types::Text};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;
use uuid::Uuid;

use super::decimal::Decimal;
use crate::db::{CoinId, schema::portfolio_transactions, text_enum};

/// Whether a transaction adds to the holdings or takes from them.
// The order decides within a day: purchases come first.
#[derive(
    AsExpression,
    FromSqlRow,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    EnumString,
    IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    Buy,
    Sell,
}

text_enum!(Kind);

/// A purchase or a sale of a coin.
#[derive(Clone, Debug, Queryable, Selectable, Insertable, AsChangeset, Serialize, ToSchema)]
#[diesel(table_name = portfolio_transactions)]
pub struct Transaction {
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    pub id: Uuid,
    /// The coin's id.
    #[schema(value_type = i64, example = 1)]
    #[diesel(column_name = coin_id)]
    pub coin: CoinId,
    #[schema(inline)]
    pub kind: Kind,
    /// Exact amount of the coin, as text.
    #[schema(value_type = String, example = "0.25")]
    pub amount: Decimal,
    /// What was paid with fees, or received after fees, in `currency`; exact, as text.
    #[schema(value_type = String, example = "15000")]
    pub total: Decimal,
    /// ISO 4217 code of `total`.
    #[schema(example = "GBP")]
    pub currency: String,
    /// The day of the transaction.
    #[schema(example = "2026-03-01")]
    pub day: NaiveDate,
    pub created_at: DateTime<Utc>,
}
