//! Answers `GET /api/v1/coins/{coin}/chart.svg`: draws a coin's history.

mod axis;
mod colours;
mod draw;
mod frame;
mod layout;
mod picture;
mod sparkline;

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, HeaderValue},
    web::Data,
};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use self::picture::Picture;
use super::{
    find,
    history::{self, Metric},
    view::View,
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Path, Problem, Query, respond_with},
    market::{self, Point, Step},
    tokens::{Allowed, api_keys::CoinsRead},
};

const MAX_POINTS: i64 = 1000;
/// The image loads nothing and runs no scripts, also when it is opened as a page.
const POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadChart {
    /// The number to draw; by default the price.
    #[param(inline)]
    metric: Option<Metric>,
    /// Time span: in points of 5 minutes (`1d`), an hour (`7d`, `30d`) or a day (`90d`, `1y`).
    #[serde(default)]
    #[param(inline)]
    range: Range,
    /// Colours of the image.
    #[serde(default)]
    #[param(inline)]
    theme: Theme,
    /// ISO 4217 code of the prices: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "GBP")]
    currency: Option<String>,
    /// Width in pixels; by default 720, as a sparkline 120.
    #[param(minimum = 40, maximum = 1600, example = 390)]
    #[validate(range(min = 40, max = 1600, message = "must be from 40 to 1600"))]
    width: Option<u16>,
    /// Height in pixels; by default 380, as a sparkline 40.
    #[param(minimum = 16, maximum = 1000, example = 300)]
    #[validate(range(min = 16, max = 1000, message = "must be from 16 to 1000"))]
    height: Option<u16>,
    /// Draws only the line, on a transparent ground, for tables and lists. Images below 320 by 240 pixels are always drawn
    /// so, because texts could not be read.
    #[serde(default)]
    #[param(default = false, example = true)]
    sparkline: bool,
}

impl ReadChart {
    /// The size, and whether only the line is drawn.
    fn form(&self) -> (Size, bool) {
        let (width, height) = if self.sparkline { (120, 40) } else { (720, 380) };
        let (width, height) = (self.width.unwrap_or(width), self.height.unwrap_or(height));
        let is_small = width < 320 || height < 240;
        (Size { width: width.into(), height: height.into() }, self.sparkline || is_small)
    }
}

/// Of the image, in pixels.
#[derive(Clone, Copy)]
struct Size {
    width: f64,
    height: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(default = "7d")]
pub enum Range {
    #[serde(rename = "1d")]
    Day,
    #[default]
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
    #[serde(rename = "90d")]
    Quarter,
    #[serde(rename = "1y")]
    Year,
}

impl Range {
    fn step_and_count(self) -> (Step, i32) {
        match self {
            Self::Day => (Step::FiveMinutes, 288),
            Self::Week => (Step::Hour, 7 * 24),
            Self::Month => (Step::Hour, 30 * 24),
            Self::Quarter => (Step::Day, 90),
            Self::Year => (Step::Day, 365),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
            Self::Quarter => "90 days",
            Self::Year => "365 days",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "light")]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

/// Draw a coin's history
///
/// Returns an SVG image. It shows a line of the last values, a band between the highs and lows of prices, and gaps where
/// there was no sync; without history it shows "No data yet". A price that has risen is green with ▲, one that has fallen
/// red with ▼, since the time that is named if the data does not reach back to the start of the range. The last point has
/// no line to it while its hour or day is not over. On `1d`, sentiment has a bar for the 95% confidence interval of the
/// last value. The letters of texts have 11 pixels or more at every size, so ask for the size that you show. "SIMULATED"
/// stands across a chart of invented numbers, and in the title of a sparkline. The image has no scripts, fonts or links.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ReadChart,
        ("coin" = String, Path, description = "Id, slug or ticker symbol of the coin, in any case.", example = "BTC"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The image.", body = String, content_type = "image/svg+xml",
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`.")),
            example = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"380\" viewBox=\"0 0 720 380\" role=\"img\"><title>Bitcoin (BTC)</title><path d=\"M64 300 220 250 380 270 540 160 700 96\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/></svg>"),
        (status = 300, description = "`ambiguous`: several coins have this name; `choices` lists them with their ids."),
        (status = 304, description = "The response has not changed."),
        (status = 404, description = "`not-found`: no such coin.")
    )
)]
#[get("/coins/{coin}/chart.svg")]
pub async fn read_chart(
    req: HttpRequest,
    _: Allowed<CoinsRead>,
    path: Path<String>,
    query: Query<ReadChart>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let (size, is_sparkline) = query.0.form();
    let Query(ReadChart { metric, range, theme, currency, .. }) = query;
    let metric = metric.unwrap_or(Metric::Price);
    let snapshot = view.current(currency.as_deref())?.snapshot.clone();
    let coin = find::anywhere(&view, &db, &path.0).await?;
    let (id, of) = (coin.id, snapshot.currency.clone());
    let (step, count) = range.step_and_count();
    // Whole steps and minutes keep the image, and so its `ETag`, the same for a while.
    let now =
        clock.now().duration_trunc(TimeDelta::minutes(1)).expect("a time within the range of nanoseconds");
    let to = Step::FiveMinutes.floor(now) + Step::FiveMinutes.length();
    let from = to - step.length() * count;
    let points = db.query(move |conn| market::history(conn, id, &of, (from, to), step, MAX_POINTS)).await?;
    let social = snapshot.coins.iter().find(|coin| coin.id == id).and_then(|coin| coin.social.as_ref());
    let interval = social
        .and_then(|social| social.interval)
        // It is of the last value, and so means nothing beside the mean of an hour or a day.
        .filter(|_| metric == Metric::Sentiment && range == Range::Day);
    let picture = Picture {
        name: coin.name,
        symbol: coin.symbol,
        metric,
        currency: &snapshot.currency,
        in_words: range.in_words(),
        span: (from, to),
        spacing: spacing(step, view.interval),
        series: series(&points, metric, step, now),
        interval: interval.map(|interval| (interval.low, interval.high)),
        credits: credits(&history::sources(&points, Some(metric), social), metric),
        simulated: history::are_simulated(&points),
    };
    let draw = if is_sparkline { sparkline::draw } else { draw::draw };
    // The number of points and labels is bounded at any size: not worth another thread, nor a cache, which many sizes would
    // fill.
    let mut response = respond_with(&req, "image/svg+xml", draw(&picture, size, theme).into_bytes());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// Writes the texts that name these sources: those that the terms of market data providers require, or the names of the
/// providers of posts.
fn credits(sources: &BTreeSet<&String>, metric: Metric) -> Vec<String> {
    let of_market = |name: &&String| {
        market::attribution(name).map_or_else(|| format!("Data provided by {name}"), str::to_owned)
    };
    if metric == Metric::Price {
        return sources.iter().map(of_market).collect();
    }
    let capitalised = |name: &&String| {
        let mut letters = name.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    let names: Vec<_> = sources.iter().map(capitalised).collect();
    if names.is_empty() { Vec::new() } else { vec![format!("Posts from {}", names.join(", "))] }
}

/// The values of one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    /// The end of the interval, to which its last value belongs, or now if that is earlier.
    at: DateTime<Utc>,
    low: f64,
    high: f64,
    value: f64,
    /// Whether the hour or day is not over. Five minutes have one sync, which is complete.
    is_partial: bool,
}

/// Returns the time between two points: syncs less frequent than steps leave steps out.
fn spacing(step: Step, interval: TimeDelta) -> TimeDelta {
    let step = step.length();
    let steps = (interval.num_milliseconds() - 1).div_euclid(step.num_milliseconds()) + 1;
    step * i32::try_from(steps).expect("at most a day")
}

fn series(points: &[Point], metric: Metric, step: Step, now: DateTime<Utc>) -> Vec<Mark> {
    let mark = |point: &Point| {
        let value = match metric {
            Metric::Price => point.close,
            Metric::Sentiment => point.sentiment,
            Metric::Popularity => point.popularity,
        };
        let value = value.filter(|value| value.is_finite())?;
        let (low, high) = match metric {
            Metric::Price => (point.low.unwrap_or(value), point.high.unwrap_or(value)),
            _ => (value, value),
        };
        let end = point.at + step.length();
        Some(Mark { at: end.min(now), low, high, value, is_partial: end > now && step != Step::FiveMinutes })
    };
    points.iter().filter_map(mark).collect()
}
