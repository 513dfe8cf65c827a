//! Reads and rolls up history: snapshots are kept for a week, hours for 90 days, days (UTC) forever.
//!
//! A point stands at the time of its data, not of the sync that read it. Snapshots that repeat data of the same time
//! (`coin_snapshots.is_repeat`) add nothing.
//!
//! Points of 4 hours and of weeks are made of hours and days when they are read, those of 15 minutes of snapshots.
//!
//! A roll-up covers whole intervals up to `coin_rollups.done_until`. It may be repeated, late or interrupted: later intervals
//! are read from the snapshots, so a response is always complete.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::{max, min, not},
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::db::{
    CoinId,
    schema::{coin_quotes, coin_rollups, coin_snapshots},
};

pub(super) const KEEP_SNAPSHOTS: TimeDelta = TimeDelta::days(7);
pub(super) const KEEP_HOURS: TimeDelta = TimeDelta::days(90);
/// Data may be older than the newest stored data by this and a few minutes, so an interval is rolled up after that. It is
/// more than the step back that [`super::publish::is_older`] accepts.
const GRACE: TimeDelta = TimeDelta::minutes(20);
/// Intervals per transaction; each is one short statement.
const MAX_ROLL_UPS: usize = 6;

/// Maximum of recent points per coin.
const MAX_RECENT: i32 = 24;
/// Approximate maximum of snapshots that recent points are made of: slots may be as short as a second.
const MAX_RECENT_SNAPSHOTS: i64 = 600;

/// The interval of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(default = "1h")]
pub enum Step {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    QuarterHour,
    #[default]
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "4h")]
    FourHours,
    #[serde(rename = "1d")]
    Day,
    #[serde(rename = "1w")]
    Week,
}

impl Step {
    pub fn seconds(self) -> i32 {
        match self {
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3600,
            Self::FourHours => 14_400,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }

    /// Seconds from the beginning of 1970, a Thursday, to the first interval: weeks begin on Monday (ISO 8601).
    fn offset(self) -> i32 {
        if self == Self::Week { 4 * 86_400 } else { 0 }
    }

    /// The length of the intervals that these are made of.
    fn part(self) -> Self {
        match self {
            Self::FourHours => Self::Hour,
            Self::Week => Self::Day,
            // Of snapshots, or stored.
            other => other,
        }
    }

    /// How long points of this length are kept; None means forever.
    pub fn kept(self) -> Option<TimeDelta> {
        match self {
            Self::FiveMinutes | Self::QuarterHour => Some(KEEP_SNAPSHOTS),
            Self::Hour | Self::FourHours => Some(KEEP_HOURS),
            Self::Day | Self::Week => None,
        }
    }

    pub fn length(self) -> TimeDelta {
        TimeDelta::seconds(self.seconds().into())
    }

    pub fn floor(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let (seconds, offset) = (i64::from(self.seconds()), i64::from(self.offset()));
        let floor = (at.timestamp() - offset).div_euclid(seconds) * seconds;
        DateTime::from_timestamp(floor + offset, 0).expect("at most a step before a valid time")
    }
}

/// An interval of a coin's history: the first, highest, lowest and last price, and the means of the other numbers.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Point {
    /// Start of the interval.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Double>)]
    pub open: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub high: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub low: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub close: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub volume_24h: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub market_cap: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub sentiment: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub popularity: Option<f64>,
    /// Snapshots in the interval.
    #[diesel(sql_type = Integer)]
    pub samples: i32,
    /// Market data providers of the snapshots, in alphabetical order; empty if it was not recorded.
    #[diesel(sql_type = Array<Text>)]
    pub sources: Vec<String>,
}

/// Aggregates a group of [`SNAPSHOTS`] into a point.
const NUMBERS: &str = "\
    (array_agg(q.price * r.rate ORDER BY s.as_of, s.id) FILTER (WHERE q.price IS NOT NULL))[1] AS open, \
    max(q.price * r.rate) AS high, min(q.price * r.rate) AS low, \
    (array_agg(q.price * r.rate ORDER BY s.as_of DESC, s.id DESC) FILTER (WHERE q.price IS NOT NULL))[1] AS close, \
    avg(q.volume_24h * r.rate) AS volume_24h, avg(q.market_cap * r.rate) AS market_cap, \
    avg(q.sentiment) AS sentiment, avg(q.popularity) AS popularity, count(*)::int AS samples, \
    array_agg(DISTINCT s.provider ORDER BY s.provider) AS sources";

pub(super) const SNAPSHOTS: &str = "\
    FROM coin_snapshots s JOIN snapshot_rates r ON r.snapshot_id = s.id \
    JOIN coin_quotes q ON q.snapshot_id = s.id WHERE s.provider <> 'demo' AND NOT s.is_repeat";

/// The columns of a point besides `at`.
const POINT: &str = "open, high, low, close, volume_24h, market_cap, sentiment, popularity, samples, sources";

/// Writes SQL for each number of which a point has the mean. Providers may leave some out, so each mean has its own weight.
fn each_mean(sql: impl Fn(&str) -> String) -> String {
    ["volume_24h", "market_cap", "sentiment", "popularity"].map(sql).join(", ")
}

/// Returns the points that begin within `from..to`, in order: the first `limit`. Intervals without a snapshot have none.
pub fn history(
    conn: &mut PgConnection,
    coin_id: CoinId,
    currency: &str,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    step: Step,
    limit: i64,
) -> QueryResult<Vec<Point>> {
    let instant = TimeDelta::microseconds(1);
    let start = step.floor(from + step.length() - instant);
    let end = step.floor(to - instant) + step.length();
    let rolled_until = rolled_until(conn, step.part())?.unwrap_or(end);
    let points = if step.part() == step { "SELECT * FROM parts".to_owned() } else { grouped(step) };
    sql_query(format!(
        "WITH parts AS ( \
             SELECT at, {POINT}, {} FROM coin_history WHERE coin_id = $1 AND currency = $2 AND step_seconds = $3 \
                 AND at >= $4 AND at < $5 AND at < $6 \
             UNION ALL \
             SELECT to_timestamp(floor(extract(epoch FROM s.as_of) / $3) * $3) AS at, {NUMBERS}, {} {SNAPSHOTS} \
                 AND q.coin_id = $1 AND r.currency = $2 AND s.as_of >= greatest($4, $6) AND s.as_of < $5 \
             GROUP BY 1) \
         SELECT at, {POINT} FROM ({points}) points ORDER BY at LIMIT $7",
        each_mean(|name| format!("{name}_samples")),
        each_mean(|name| format!("count(q.{name})::int AS {name}_samples")),
    ))
    .bind::<BigInt, _>(coin_id)
    .bind::<Text, _>(currency)
    .bind::<Integer, _>(step.part().seconds())
    .bind::<Timestamptz, _>(start)
    .bind::<Timestamptz, _>(end)
    .bind::<Timestamptz, _>(rolled_until)
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// Writes the query that makes points of `parts`, which are shorter.
fn grouped(step: Step) -> String {
    let (seconds, offset) = (step.seconds(), step.offset());
    let interval = format!(
        "to_timestamp(floor((extract(epoch FROM at) - {offset}) / {seconds}) * {seconds} + {offset})"
    );
    format!(
        "SELECT g.*, coalesce(n.sources, '{{}}') AS sources FROM ( \
             SELECT {interval} AS at, \
                 (array_agg(open ORDER BY at) FILTER (WHERE open IS NOT NULL))[1] AS open, \
                 max(high) AS high, min(low) AS low, \
                 (array_agg(close ORDER BY at DESC) FILTER (WHERE close IS NOT NULL))[1] AS close, \
                 {}, sum(samples)::int AS samples FROM parts GROUP BY 1) g \
         LEFT JOIN ( \
             SELECT {interval} AS at, array_agg(DISTINCT source ORDER BY source) AS sources \
             FROM parts, unnest(sources) AS source GROUP BY 1) n USING (at)",
        each_mean(|name| format!("sum({name} * {name}_samples) / sum({name}_samples) AS {name}")),
    )
}

/// Returns the time from which points are made of snapshots; earlier ones are stored. None without a snapshot.
pub(super) fn rolled_until(conn: &mut PgConnection, step: Step) -> QueryResult<Option<DateTime<Utc>>> {
    match done_until(conn, step)? {
        None => next_interval(conn, step),
        done => Ok(done),
    }
}

/// Returns the time of the newest data of a coin; None if it has no snapshot, such as one that left the list long ago.
pub fn newest_data(conn: &mut PgConnection, coin_id: CoinId) -> QueryResult<Option<DateTime<Utc>>> {
    coin_snapshots::table
        .inner_join(coin_quotes::table)
        .filter(coin_quotes::coin_id.eq(coin_id).and(coin_snapshots::provider.ne("demo")))
        .select(max(coin_snapshots::as_of))
        .first(conn)
}

/// Returns the last points of every coin in five-minute steps, in order; all but the newest are complete.
pub(super) fn recent(conn: &mut PgConnection, currency: &str) -> QueryResult<HashMap<CoinId, Vec<Point>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(embed)]
        point: Point,
    }
    let start = recent_start(conn, Step::FiveMinutes)?;
    let rows: Vec<Row> = sql_query(format!(
        "SELECT q.coin_id, to_timestamp(floor(extract(epoch FROM s.as_of) / $1) * $1) AS at, {NUMBERS} {SNAPSHOTS} \
             AND r.currency = $2 AND s.as_of >= $3 \
         GROUP BY 1, 2 ORDER BY 2"
    ))
    .bind::<Integer, _>(Step::FiveMinutes.seconds())
    .bind::<Text, _>(currency)
    .bind::<Timestamptz, _>(start)
    .load(conn)?;
    let mut points: HashMap<CoinId, Vec<Point>> = HashMap::new();
    for Row { coin_id, point } in rows {
        points.entry(coin_id).or_default().push(point);
    }
    Ok(points)
}

/// Returns the start of the recent points: [`MAX_RECENT`] steps before the newest snapshot. It is later if slots are so
/// short that the steps would hold too many snapshots, and earlier if slots are longer than steps.
fn recent_start(conn: &mut PgConnection, step: Step) -> QueryResult<DateTime<Utc>> {
    let mut before_newest = |count: i64| {
        coin_snapshots::table
            .filter(coin_snapshots::provider.ne("demo").and(not(coin_snapshots::is_repeat)))
            .order(coin_snapshots::as_of.desc())
            .offset(count)
            .select(coin_snapshots::as_of)
            .first::<DateTime<Utc>>(conn)
            .optional()
    };
    let Some(newest) = before_newest(0)? else {
        return Ok(DateTime::UNIX_EPOCH);
    };
    let all = newest - step.length() * (MAX_RECENT - 1);
    let bounded = before_newest(MAX_RECENT_SNAPSHOTS)?.map_or(all, |at| all.max(at + step.length()));
    let last = before_newest(i64::from(MAX_RECENT) - 1)?.unwrap_or(DateTime::UNIX_EPOCH);
    Ok(step.floor(bounded.min(last)))
}

pub(super) fn done_until(conn: &mut PgConnection, step: Step) -> QueryResult<Option<DateTime<Utc>>> {
    coin_rollups::table.find(step.seconds()).select(coin_rollups::done_until).first(conn).optional()
}

/// Rolls up the intervals that no later data can belong to, the oldest first, up to [`MAX_ROLL_UPS`]; needs a transaction.
/// Returns false if nothing is left to do.
pub fn roll_up(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let newest: Option<DateTime<Utc>> = coin_snapshots::table
        .filter(coin_snapshots::provider.ne("demo").and(coin_snapshots::as_of.le(now)))
        .select(max(coin_snapshots::as_of))
        .first(conn)?;
    let Some(newest) = newest else { return Ok(false) };
    let hours = roll_up_step(conn, Step::Hour, newest - GRACE)?;
    // A day is made of its hours.
    let days = match done_until(conn, Step::Hour)? {
        Some(hours_until) => roll_up_step(conn, Step::Day, hours_until)?,
        None => false,
    };
    Ok(hours || days)
}

fn roll_up_step(conn: &mut PgConnection, step: Step, until: DateTime<Utc>) -> QueryResult<bool> {
    let until = step.floor(until);
    for _ in 0..MAX_ROLL_UPS {
        let Some(start) = next_interval(conn, step)?.filter(|start| *start < until) else {
            return Ok(false);
        };
        roll_up_interval(conn, step, start)?;
        let done = (
            coin_rollups::step_seconds.eq(step.seconds()),
            coin_rollups::done_until.eq(start + step.length()),
        );
        diesel::insert_into(coin_rollups::table)
            .values(done)
            .on_conflict(coin_rollups::step_seconds)
            .do_update()
            .set(done.1)
            .execute(conn)?;
    }
    Ok(true)
}

/// Returns the first interval that is not rolled up and holds a snapshot.
fn next_interval(conn: &mut PgConnection, step: Step) -> QueryResult<Option<DateTime<Utc>>> {
    let done = done_until(conn, step)?.unwrap_or(DateTime::UNIX_EPOCH);
    let first: Option<DateTime<Utc>> = coin_snapshots::table
        .filter(coin_snapshots::as_of.ge(done).and(not(coin_snapshots::is_repeat)))
        .filter(coin_snapshots::provider.ne("demo"))
        .select(min(coin_snapshots::as_of))
        .first(conn)?;
    Ok(first.map(|first| step.floor(first)))
}

fn roll_up_interval(conn: &mut PgConnection, step: Step, start: DateTime<Utc>) -> QueryResult<()> {
    let columns = format!("{POINT}, {}", each_mean(|name| format!("{name}_samples")));
    let source = match step {
        Step::Day => format!(
            "SELECT coin_id, currency, $1::int, $2::timestamptz, \
                 (array_agg(open ORDER BY at) FILTER (WHERE open IS NOT NULL))[1], max(high), min(low), \
                 (array_agg(close ORDER BY at DESC) FILTER (WHERE close IS NOT NULL))[1], \
                 {}, sum(samples)::int, ARRAY( \
                     SELECT DISTINCT unnest(o.sources) AS source FROM coin_history o \
                     WHERE o.coin_id = h.coin_id AND o.currency = h.currency AND o.step_seconds = 3600 \
                         AND o.at >= $2 AND o.at < $3 ORDER BY source), {} \
             FROM coin_history h WHERE step_seconds = 3600 AND at >= $2 AND at < $3 GROUP BY coin_id, currency",
            each_mean(|name| format!("sum({name} * {name}_samples) / sum({name}_samples)")),
            each_mean(|name| format!("sum({name}_samples)::int")),
        ),
        _ => format!(
            "SELECT q.coin_id, r.currency, $1::int, $2::timestamptz, {NUMBERS}, {} {SNAPSHOTS} \
             AND s.as_of >= $2 AND s.as_of < $3 GROUP BY 1, 2",
            each_mean(|name| format!("count(q.{name})::int")),
        ),
    };
    let updates: Vec<_> = columns.split(", ").map(|name| format!("{name} = excluded.{name}")).collect();
    sql_query(format!(
        "INSERT INTO coin_history (coin_id, currency, step_seconds, at, {columns}) {source} \
         ON CONFLICT ON CONSTRAINT coin_history_pkey DO UPDATE SET {}",
        updates.join(", ")
    ))
    .bind::<Integer, _>(step.seconds())
    .bind::<Timestamptz, _>(start)
    .bind::<Timestamptz, _>(start + step.length())
    .execute(conn)?;
    Ok(())
}
