//! Answers `GET /api/v1/user/portfolio/history`: the value of the portfolio at the end of each day.

use std::collections::HashMap;

use actix_web::{
    get,
    web::{Data, Json},
};
use bigdecimal::{BigDecimal, Zero};
use chrono::{Days, NaiveDate, NaiveTime};
use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    super::{history::are_simulated, view::View},
    body::{default_currency, optional_day},
    decimal::{from_f64, rounded},
    model::Transaction,
    positions::{Position, trade},
    store,
};
use crate::{
    clock::Clock,
    db::{CoinId, Db},
    http::{Problem, Query},
    market::{self, Step},
    tokens::{Allowed, api_keys::PortfolioRead},
};

const MAX_DAYS: u64 = 366;
const DEFAULT_DAYS: u64 = 90;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadPortfolioHistory {
    /// The first day (UTC); by default 89 days before `to`.
    #[serde(default, deserialize_with = "optional_day")]
    #[param(value_type = Option<String>, format = Date, max_length = 10, example = "2026-10-01")]
    from: Option<NaiveDate>,
    /// The last day (UTC), at most 365 days after `from`; by default today.
    #[serde(default, deserialize_with = "optional_day")]
    #[param(value_type = Option<String>, format = Date, max_length = 10, example = "2026-11-20")]
    to: Option<NaiveDate>,
}

#[derive(Serialize, ToSchema)]
pub struct PortfolioHistory {
    /// ISO 4217 code of all amounts.
    #[schema(example = "GBP")]
    currency: String,
    /// Whether the values are of invented prices, such as those of a simulated market.
    #[schema(example = false)]
    simulated: bool,
    /// A point for each day from the first transaction on, the oldest first.
    data: Vec<PortfolioDay>,
}

/// The portfolio at the end of a day (UTC), or now for today. Numbers are decimals as text, rounded to eight decimals.
#[derive(Serialize, ToSchema)]
pub struct PortfolioDay {
    #[schema(example = "2026-11-20")]
    day: NaiveDate,
    /// What the coins that have a price of that day were worth; null if none has.
    #[schema(example = "17552.861025")]
    value: Option<String>,
    /// What was paid for what was held, by average cost.
    #[schema(example = "15000")]
    cost: String,
    /// Ids of coins that were held and have no price of that day: `value` leaves them out.
    #[schema(value_type = Vec<i64>, example = json!([]))]
    unpriced: Vec<CoinId>,
}

/// Read the value of your portfolio over time
///
/// Returns value and cost for each day, from your transactions and the last price of each coin on that day. Days without a
/// price of a coin are not filled with another day's.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params(ReadPortfolioHistory),
    responses((status = 200, description = "A point for each day.", body = PortfolioHistory))
)]
#[get("/user/portfolio/history")]
pub async fn read_portfolio_history(
    me: Allowed<PortfolioRead>,
    query: Query<ReadPortfolioHistory>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<PortfolioHistory>, Problem> {
    let (from, to) = days(&query.0, clock.now().date_naive())?;
    let currency = default_currency(me.id, &view, &db).await?;
    let code = currency.clone();
    let (transactions, closes, simulated) = db
        .query(move |conn| {
            let transactions = store::all(conn, me.id)?;
            let (closes, simulated) = closes(conn, &transactions, &code, (from, to))?;
            Ok((transactions, closes, simulated))
        })
        .await?;
    let data = by_day(&transactions, &closes, from, to);
    Ok(Json(PortfolioHistory { currency, simulated, data }))
}

fn days(query: &ReadPortfolioHistory, today: NaiveDate) -> Result<(NaiveDate, NaiveDate), Problem> {
    let to = query.to.unwrap_or(today).min(today);
    let first = to.checked_sub_days(Days::new(DEFAULT_DAYS - 1));
    let from = query.from.or(first).unwrap_or(to);
    if from > to {
        return Err(Problem::invalid("/from", "range", "must not be after `to` or today"));
    }
    if (to - from).num_days().unsigned_abs() >= MAX_DAYS {
        return Err(Problem::invalid("/from", "range", "must be at most 365 days before `to`"));
    }
    Ok((from, to))
}

/// The last price of each coin and day.
type Closes = HashMap<(CoinId, NaiveDate), BigDecimal>;

/// Returns the prices, and whether they are invented.
fn closes(
    conn: &mut PgConnection,
    transactions: &[Transaction],
    currency: &str,
    (from, to): (NaiveDate, NaiveDate),
) -> QueryResult<(Closes, bool)> {
    let mut coins: Vec<CoinId> = transactions.iter().map(|one| one.coin).collect();
    coins.sort_unstable();
    coins.dedup();
    let begin = from.and_time(NaiveTime::MIN).and_utc();
    let end = to.and_time(NaiveTime::MIN).and_utc() + Step::Day.length();
    let (mut closes, mut simulated) = (Closes::new(), false);
    for coin in coins {
        let limit = i64::try_from(MAX_DAYS).expect("small");
        let points = market::history(conn, coin, currency, (begin, end), Step::Day, limit)?;
        simulated |= are_simulated(&points);
        for point in points {
            if let Some(close) = point.close.and_then(from_f64) {
                closes.insert((coin, point.at.date_naive()), close);
            }
        }
    }
    Ok((closes, simulated))
}

/// Returns a point for each day of the range from the first transaction on.
fn by_day(
    transactions: &[Transaction],
    closes: &Closes,
    from: NaiveDate,
    to: NaiveDate,
) -> Vec<PortfolioDay> {
    let Some(first) = transactions.first() else { return Vec::new() };
    let mut rest = transactions.iter().peekable();
    let mut positions: HashMap<CoinId, Position> = HashMap::new();
    let mut points = Vec::new();
    for day in from.max(first.day).iter_days().take_while(|day| *day <= to) {
        while let Some(one) = rest.next_if(|one| one.day <= day) {
            // The store refuses a sale of more than is held.
            let _ = positions.entry(one.coin).or_default().add(&trade(one));
        }
        points.push(point(day, &positions, closes));
    }
    points
}

fn point(day: NaiveDate, positions: &HashMap<CoinId, Position>, closes: &Closes) -> PortfolioDay {
    let held = || positions.iter().filter(|(_, position)| !position.amount.is_zero());
    let mut unpriced: Vec<CoinId> =
        held().map(|(coin, _)| *coin).filter(|coin| !closes.contains_key(&(*coin, day))).collect();
    unpriced.sort_unstable();
    let values = held().filter_map(|(coin, position)| Some(closes.get(&(*coin, day))? * &position.amount));
    let has_value = unpriced.is_empty() || unpriced.len() < held().count();
    let value: Option<BigDecimal> = has_value.then(|| values.sum());
    let cost: BigDecimal = held().map(|(_, position)| &position.average_cost.cost).sum();
    PortfolioDay { day, value: value.as_ref().map(rounded), cost: rounded(&cost), unpriced }
}
