//! Answers `GET /api/v1/coins/{coin}/history`: reads prices and sentiment over time.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

pub use super::metric::Metric;
use super::{
    body::Attribution,
    find,
    history_arrays::{HistoryArrays, HistoryColumns},
    view::View,
};
use crate::{
    clock::Clock,
    db::{CoinId, Db},
    http::{Path, Problem, Query, respond_once},
    market::{self, Point, Step},
    social::Social,
    tokens::{Allowed, api_keys::CoinsRead},
};

/// Per response.
const MAX_POINTS: i32 = 1000;
/// Number of points without `from`.
const DEFAULT_POINTS: i32 = 288;
/// Older than any coin; dates must stay within the range of PostgreSQL.
const EARLIEST: DateTime<Utc> = DateTime::from_timestamp(946_684_800, 0).expect("the year 2000");

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadHistory {
    /// Returns points that begin at this time or later; by default 288 intervals before `to`.
    #[param(format = "date-time", value_type = Option<String>)]
    from: Option<DateTime<Utc>>,
    /// Returns points that begin before this time; by default now.
    #[param(format = "date-time", value_type = Option<String>)]
    to: Option<DateTime<Utc>>,
    /// Length of each point: `5m` or `15m` (kept for 7 days), `1h` or `4h` (kept for 90 days), `1d` or `1w` (kept forever).
    /// Points begin at multiples of their length in UTC, weeks on Monday.
    #[serde(default)]
    #[param(inline)]
    interval: Step,
    /// Returns only this metric; all by default. `volume_24h` and `market_cap` come with `price`.
    #[param(inline)]
    metric: Option<Metric>,
    /// ISO 4217 code of the prices: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "GBP")]
    currency: Option<String>,
    /// Shape of the response: `points` has an object for each point, `arrays` an array for each of their members, as chart
    /// libraries take them.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "points")]
enum Format {
    #[default]
    Points,
    Arrays,
}

/// A history in the requested `format`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum HistoryAnswer {
    Points(History),
    Arrays(Box<HistoryArrays>),
}

#[derive(Serialize, ToSchema)]
pub struct History {
    /// The coin's id.
    #[schema(value_type = i64, example = 1)]
    coin: CoinId,
    /// ISO 4217 code of the prices.
    #[schema(example = "GBP")]
    currency: String,
    /// Length of an interval, in seconds.
    #[schema(example = 3600)]
    interval_seconds: i32,
    /// When the newest data of the coin was current, according to its provider; null if the coin left the list more than 7
    /// days ago.
    as_of: Option<DateTime<Utc>>,
    /// Whether the numbers are invented, such as those of a simulated market.
    #[schema(example = false)]
    simulated: bool,
    /// The sources of the points. For sentiment and popularity they are the `social.sources` of the coin now.
    attributions: Vec<Attribution>,
    /// The oldest first. Intervals without a sync have no point.
    data: Vec<HistoryPoint>,
}

/// The first, highest, lowest and last price of an interval, and the means of the other metrics. With `metric`, the
/// members of the other metrics are left out.
// The outer `Option` leaves a member out, the inner one is null. Flattened parts would take one `Option` each, but OpenAPI
// documents those as a nullable `allOf`, which no longer refuses unknown members.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryPoint {
    /// Start of the interval (UTC).
    at: DateTime<Utc>,
    /// First price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 70105.1)]
    open: Option<Option<f64>>,
    /// Highest price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 70402.9)]
    high: Option<Option<f64>>,
    /// Lowest price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 69980.4)]
    low: Option<Option<f64>>,
    /// Last price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 70211.4421)]
    close: Option<Option<f64>>,
    /// Mean of `volume_24h`, the amount traded in the 24 hours before; null if no provider reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 112_536_391_040.63)]
    volume_24h: Option<Option<f64>>,
    /// Mean of `market_cap`; null if no provider reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 1_400_804_910_814.55)]
    market_cap: Option<Option<f64>>,
    /// Mean of `sentiment`; null if no source was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 0.1642)]
    sentiment: Option<Option<f64>>,
    /// Mean of `popularity`; null if no source was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false, example = 0.31)]
    popularity: Option<Option<f64>>,
    /// Number of syncs in the interval. 0 for a point of the provider's own history from before the first sync: if its four
    /// prices are equal, only the last one is known.
    #[schema(example = 12)]
    samples: i32,
    /// Market data providers of the prices; left out without prices. Empty for hours and days that were stored before
    /// providers were recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false, example = json!(["coinmarketcap"]))]
    sources: Option<Vec<String>>,
}

impl HistoryPoint {
    pub fn new(point: &Point, metric: Option<Metric>) -> Self {
        let has = |one: Metric| metric.is_none_or(|metric| metric == one);
        let price = |value: Option<f64>| has(Metric::Price).then_some(value);
        Self {
            at: point.at,
            open: price(point.open),
            high: price(point.high),
            low: price(point.low),
            close: price(point.close),
            volume_24h: price(point.volume_24h),
            market_cap: price(point.market_cap),
            sentiment: has(Metric::Sentiment).then_some(point.sentiment),
            popularity: has(Metric::Popularity).then_some(point.popularity),
            samples: point.samples,
            sources: has(Metric::Price).then(|| point.sources.clone()),
        }
    }
}

/// Returns the names of the sources of points: market data providers of prices, and providers of posts of social figures.
pub(super) fn sources<'a>(
    points: &'a [Point],
    metric: Option<Metric>,
    social: Option<&'a Social>,
) -> BTreeSet<&'a String> {
    let of_prices = points.iter().flat_map(|point| &point.sources);
    let has_figures = points.iter().any(|point| point.sentiment.is_some() || point.popularity.is_some());
    let of_figures = social.filter(|_| has_figures).into_iter().flat_map(|social| &social.sources);
    match metric {
        Some(Metric::Price) => of_prices.collect(),
        Some(Metric::Sentiment | Metric::Popularity) => of_figures.collect(),
        None => of_prices.chain(of_figures).collect(),
    }
}

/// Whether points hold invented numbers; then all do.
pub(super) fn are_simulated(points: &[Point]) -> bool {
    points.iter().flat_map(|point| &point.sources).any(|source| market::is_invented(source))
}

/// Read a coin's history
///
/// Returns price, volume, market capitalisation, sentiment and popularity over time, at most 1000 points. Intervals that
/// were not measured are missing or null, never interpolated. Coins that have left the list keep their history.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ReadHistory,
        ("coin" = String, Path, description = "Id, slug or ticker symbol of the coin, in any case.", example = "BTC"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The points.", body = HistoryAnswer,
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 300, description = "`ambiguous`: several coins have this name; `choices` lists them with their ids."),
        (status = 304, description = "The response has not changed."),
        (status = 404, description = "`not-found`: no such coin.")
    )
)]
#[get("/coins/{coin}/history")]
pub async fn read_history(
    req: HttpRequest,
    _: Allowed<CoinsRead>,
    path: Path<String>,
    query: Query<ReadHistory>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let (step, metric) = (query.interval, query.metric);
    let range = range(query.from, query.to, step, clock.now())?;
    let snapshot = view.current(query.currency.as_deref())?.snapshot.clone();
    let coin = find::anywhere(&view, &db, &path.0).await?.id;
    let currency = snapshot.currency.clone();
    let of = currency.clone();
    let read = move |conn: &mut PgConnection| {
        let points = market::history(conn, coin, &of, range, step, MAX_POINTS.into())?;
        Ok((points, market::newest_data(conn, coin)?))
    };
    let (points, as_of) = db.query(read).await?;
    let social = snapshot.coins.iter().find(|one| one.id == coin).and_then(|one| one.social.as_ref());
    let attributions =
        sources(&points, metric, social).into_iter().map(|name| Attribution::of(name)).collect();
    let interval_seconds = step.seconds();
    let simulated = are_simulated(&points);
    let answer = match query.format {
        Format::Points => {
            let data = points.iter().map(|point| HistoryPoint::new(point, metric)).collect();
            HistoryAnswer::Points(History {
                coin,
                currency,
                interval_seconds,
                as_of,
                simulated,
                attributions,
                data,
            })
        }
        Format::Arrays => HistoryAnswer::Arrays(Box::new(HistoryArrays {
            coin,
            currency,
            interval_seconds,
            as_of,
            simulated,
            attributions,
            columns: HistoryColumns::new(&points, metric),
        })),
    };
    Ok(respond_once(&req, &answer))
}

/// Checks that the range is in order, still stored and not too long.
fn range(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    step: Step,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
    let to = to.unwrap_or(now).min(now);
    if to < EARLIEST {
        return Err(Problem::invalid("/to", "range", "must be after the year 2000"));
    }
    let from = from.unwrap_or(to - step.length() * DEFAULT_POINTS);
    if from < EARLIEST {
        return Err(Problem::invalid("/from", "range", "must be after the year 2000"));
    }
    if from >= to {
        return Err(Problem::invalid("/from", "range", "must be before `to` and before now"));
    }
    if to - from > step.length() * MAX_POINTS {
        let message = format!(
            "must be at most {MAX_POINTS} intervals before `to`: choose a longer interval or a shorter range"
        );
        return Err(Problem::invalid("/from", "range", message));
    }
    match step.kept() {
        Some(kept) if from < now - kept - step.length() - TimeDelta::minutes(1) => {
            let days = kept.num_days();
            let message = format!("points of this length are kept for {days} days: choose a longer interval");
            Err(Problem::invalid("/interval", "not-kept", message))
        }
        _ => Ok((from, to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_sensible_kept_and_bounded() {
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().expect("time");
        let at = |hours| Some(now - TimeDelta::hours(hours));
        let good = |from, to, step| range(from, to, step, now).is_ok();
        assert!(
            good(None, None, Step::FiveMinutes)
                && good(None, None, Step::Hour)
                && good(None, None, Step::Day)
        );
        assert!(good(at(83), None, Step::FiveMinutes) && !good(at(84), None, Step::FiveMinutes));
        assert!(good(at(168), at(100), Step::FiveMinutes) && !good(at(170), at(100), Step::FiveMinutes));
        assert!(good(at(24 * 90), at(24 * 60), Step::Hour) && !good(at(24 * 91), at(24 * 60), Step::Hour));
        assert!(good(at(24 * 1000), None, Step::Day) && !good(at(24 * 1001), None, Step::Day));
        assert!(
            !good(at(1), at(1), Step::Hour)
                && !good(at(1), at(2), Step::Hour)
                && !good(at(-1), None, Step::Day)
        );
        assert!(good(at(167), at(100), Step::QuarterHour) && !good(at(170), at(100), Step::QuarterHour));
        assert!(good(at(24 * 90), None, Step::FourHours) && !good(at(24 * 91), None, Step::FourHours));
        assert!(good(at(24 * 7 * 1000), None, Step::Week) && !good(at(24 * 7 * 1001), None, Step::Week));
        for extreme in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            for step in
                [Step::FiveMinutes, Step::QuarterHour, Step::Hour, Step::FourHours, Step::Day, Step::Week]
            {
                assert!(!good(Some(extreme), None, step));
                let _ = (good(None, Some(extreme), step), good(Some(extreme), Some(extreme), step));
            }
        }
    }
}
