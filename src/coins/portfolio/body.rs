//! Checks a transaction that a client sends.

use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    super::{find, view::View},
    decimal::Decimal,
    model::{Kind, Transaction},
    store,
};
use crate::{
    db::{Db, UserId},
    http::Problem,
};

/// The day of the first block of bitcoin.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2009, 1, 3).expect("a day");
/// The day begins this much earlier in the easternmost time zone.
const EASTERNMOST: TimeDelta = TimeDelta::hours(14);
const DAY: &str = "must be a day such as 2026-03-01";

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"coin": "bitcoin", "kind": "buy", "amount": "0.25", "total": "15000.00", "currency": "GBP",
    "day": "2026-03-01"}))]
pub struct TransactionBody {
    /// Id, slug or ticker symbol of the coin, in any case, or its `ref` from a search.
    #[schema(min_length = 1, max_length = 120)]
    #[validate(length(min = 1, max = 120, message = "must have 1 to 120 characters"))]
    coin: String,
    #[schema(inline)]
    kind: Kind,
    /// Exact amount of the coin, as text: above 0, with at most 18 digits before and 18 behind the point.
    #[schema(value_type = String, max_length = 37, pattern = "^(0|[1-9][0-9]{0,17})(\\.[0-9]{1,18})?$")]
    amount: Decimal,
    /// What was paid with fees (`buy`), or received after fees (`sell`), in `currency`: exact, as text; 0 for a gift.
    #[schema(value_type = String, max_length = 37, pattern = "^(0|[1-9][0-9]{0,17})(\\.[0-9]{1,18})?$")]
    total: Decimal,
    /// ISO 4217 code of `total`: one of the configured currencies, and that of your other transactions. By default theirs,
    /// else the first configured one.
    #[schema(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    /// The day of the transaction: from 2009-01-03 until today.
    #[serde(deserialize_with = "day")]
    #[schema(value_type = String, format = Date, max_length = 10)]
    day: NaiveDate,
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_day(&text).map_err(de::Error::custom)
}

pub fn optional_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    day(deserializer).map(Some)
}

/// Reads a day (ISO 8601).
pub fn parse_day(text: &str) -> Result<NaiveDate, &'static str> {
    let has_form = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse().ok().filter(|_| has_form).ok_or(DAY)
}

/// Checks an amount and a day.
///
/// # Errors
/// The field, and what it must be.
pub fn check_range(
    amount: &Decimal,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> Result<(), (&'static str, &'static str)> {
    if amount.is_zero() {
        return Err(("amount", "must be more than 0"));
    }
    if day < FIRST_DAY || day > (now + EASTERNMOST).date_naive() {
        return Err(("day", "must be from 2009-01-03 until today"));
    }
    Ok(())
}

impl TransactionBody {
    /// Makes the transaction; finds its coin and its currency.
    ///
    /// # Errors
    /// `validation-failed`, `ambiguous-name`.
    pub async fn into_transaction(
        self,
        user: UserId,
        view: &View,
        db: &Db,
        now: DateTime<Utc>,
    ) -> Result<Transaction, Problem> {
        let Self { coin, kind, amount, total, currency, day } = self;
        check_range(&amount, day, now)
            .map_err(|(field, message)| Problem::invalid(format!("/{field}"), "range", message))?;
        let coin = find::in_body(view, db, &coin).await?;
        let currency = match currency {
            Some(code) => view.code(Some(&code))?,
            None => default_currency(user, view, db).await?,
        };
        // The precision of the database.
        let created_at = now.trunc_subsecs(6);
        Ok(Transaction { id: Uuid::now_v7(), coin, kind, amount, total, currency, day, created_at })
    }
}

/// Returns the currency of the user's transactions, else the first configured one.
pub async fn default_currency(user: UserId, view: &View, db: &Db) -> Result<String, Problem> {
    match db.query(move |conn| store::currency(conn, user)).await? {
        Some(code) => Ok(code),
        None => view.code(None),
    }
}
