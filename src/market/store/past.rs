//! Writes the past of a simulated market: a year of days, 90 days of hours and a day of snapshots, as if syncs had written
//! them.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz},
};

use super::{
    super::{
        identity::Identities,
        model::Report,
        providers::{
            Wanted,
            simulation::{self, ID_NAMESPACE, NAMES},
        },
    },
    history::Step,
    identity::coin_ids,
    snapshots::lock,
};
use crate::{
    db::{
        CoinId, SnapshotId,
        schema::{coin_rollups, coin_snapshots, simulation as stored},
    },
    simulation::{Candle, Past, World},
};

const DAYS: usize = 365;
const DAYS_IN_HOURS: usize = 90;
/// Days that are also kept in snapshots, so that their hours hold all prices of those.
const DAYS_IN_SNAPSHOTS: usize = 2;
/// Snapshots of five minutes each.
const SNAPSHOTS: i32 = 288;
/// Prices that an interval is made of, as five-minute syncs would have given.
const SAMPLES: i32 = 12;

/// The hours of all coins, and what they are written with.
pub struct PastOfWorld {
    world: World,
    /// The first of them is that of the snapshots.
    currencies: Vec<String>,
    /// All coins, at the beginning.
    coins: Report,
    /// Our ids, by those at CoinMarketCap; empty until [`PastOfWorld::create_coins`].
    ids: HashMap<String, CoinId>,
    start: DateTime<Utc>,
    hours: HashMap<&'static str, Vec<Past>>,
    /// The oldest first.
    snapshots: Vec<Report>,
}

/// Rows of `coin_history`, column by column.
#[derive(Default)]
struct Rows {
    at: Vec<DateTime<Utc>>,
    candles: [Vec<f64>; 4],
    volumes: Vec<f64>,
    caps: Vec<f64>,
}

impl Rows {
    fn push(&mut self, at: DateTime<Utc>, hours: &[Past], units: &[f64]) {
        let in_currency = || hours.iter().zip(units);
        let candle = in_currency().map(|(hour, units)| hour.candle.times(*units)).reduce(Candle::then);
        let Some(Candle { open, high, low, close }) = candle else { return };
        let count = f64::from(u32::try_from(hours.len()).expect("a day"));
        let mean =
            |of: fn(&Past) -> f64| in_currency().map(|(hour, units)| of(hour) * units).sum::<f64>() / count;
        self.at.push(at);
        for (column, value) in self.candles.iter_mut().zip([open, high, low, close]) {
            column.push(value);
        }
        self.volumes.push(mean(|hour| hour.volume_24h));
        self.caps.push(mean(|hour| hour.market_cap));
    }
}

impl PastOfWorld {
    /// Computes everything, which takes a while. None in a currency that is not simulated.
    pub fn compute(world: World, currencies: &[String], count: u32) -> Option<Self> {
        let now = world.began();
        let known: Vec<_> =
            currencies.iter().filter(|code| world.units(code, now).is_some()).cloned().collect();
        let coins = simulation::report(&world, &currencies[0], Wanted::top(u32::MAX), now)?;
        let newest = now.duration_trunc(Step::FiveMinutes.length()).expect("a time near now");
        let snapshots = (0..SNAPSHOTS)
            .rev()
            .map(|number| newest - Step::FiveMinutes.length() * number)
            .filter(|at| *at < now)
            .filter_map(|at| simulation::report(&world, &currencies[0], Wanted::top(count), at))
            .collect();
        let today = Step::Day.floor(now);
        let days = |count: usize| TimeDelta::days(i64::try_from(count).expect("a year"));
        let start = today - days(DAYS);
        let hours_of_today = usize::try_from((now - today).num_hours()).expect("at most a day");
        // The older, the fewer prices, since each takes time to compute.
        let parts = [
            (DAYS, (DAYS - DAYS_IN_HOURS) * 24, 1),
            (DAYS_IN_HOURS, (DAYS_IN_HOURS - DAYS_IN_SNAPSHOTS) * 24, 4),
            (DAYS_IN_SNAPSHOTS, DAYS_IN_SNAPSHOTS * 24 + hours_of_today, 12),
        ];
        let mut hours: HashMap<_, Vec<Past>> = HashMap::new();
        for (days_ago, count, prices) in parts {
            for (coin, past) in world.hours(today - days(days_ago), count, prices) {
                hours.entry(coin).or_default().extend(past);
            }
        }
        Some(Self { world, currencies: known, coins, ids: HashMap::new(), start, hours, snapshots })
    }

    /// Creates the coins that are missing; needs a transaction.
    pub fn create_coins(&mut self, conn: &mut PgConnection) -> QueryResult<()> {
        lock(conn)?;
        self.ids = coin_ids(conn, ID_NAMESPACE, &self.coins, &Identities::default(), self.world.began())?;
        Ok(())
    }

    /// The ids of its coins at CoinMarketCap.
    pub fn coins(&self) -> Vec<&'static str> {
        self.hours.keys().copied().collect()
    }

    /// Writes the hours and days of a coin.
    pub fn write_coin(&self, conn: &mut PgConnection, coin: &str) -> QueryResult<()> {
        let (Some(id), Some(hours)) = (self.ids.get(coin), self.hours.get(coin)) else { return Ok(()) };
        let at =
            |step: Step, number: usize| self.start + step.length() * i32::try_from(number).expect("a year");
        for currency in &self.currencies {
            let units: Vec<f64> = (0..hours.len())
                .map(|number| self.world.units(currency, at(Step::Hour, number)).unwrap_or(1.0))
                .collect();
            let (mut of_hours, mut of_days) = (Rows::default(), Rows::default());
            for number in (DAYS - DAYS_IN_HOURS) * 24..hours.len() {
                of_hours.push(at(Step::Hour, number), &hours[number..=number], &units[number..=number]);
            }
            for day in 0..DAYS {
                let of_day = day * 24..day * 24 + 24;
                of_days.push(at(Step::Day, day), &hours[of_day.clone()], &units[of_day]);
            }
            insert(conn, *id, currency, Step::Hour, SAMPLES, of_hours)?;
            insert(conn, *id, currency, Step::Day, SAMPLES * 24, of_days)?;
        }
        Ok(())
    }

    /// Writes the snapshots of the last day, and notes that the past is complete.
    pub fn finish(&self, conn: &mut PgConnection) -> QueryResult<()> {
        let now = self.world.began();
        let reports = &self.snapshots;
        let snapshots: Vec<_> = reports
            .iter()
            .map(|report| {
                (
                    coin_snapshots::provider.eq(NAMES[0]),
                    coin_snapshots::currency.eq(&report.currency),
                    coin_snapshots::as_of.eq(report.as_of),
                    coin_snapshots::fetched_at.eq(report.as_of),
                )
            })
            .collect();
        let ids: Vec<SnapshotId> = diesel::insert_into(coin_snapshots::table)
            .values(snapshots)
            .returning(coin_snapshots::id)
            .get_results(conn)?;
        self.insert_quotes(conn, &ids, reports)?;
        self.insert_rates(conn, &ids, reports)?;
        for step in [Step::Hour, Step::Day] {
            diesel::insert_into(coin_rollups::table)
                .values((
                    coin_rollups::step_seconds.eq(step.seconds()),
                    coin_rollups::done_until.eq(step.floor(now)),
                ))
                .on_conflict(coin_rollups::step_seconds)
                .do_update()
                .set(coin_rollups::done_until.eq(step.floor(now)))
                .execute(conn)?;
        }
        diesel::update(stored::table).set(stored::is_complete.eq(true)).execute(conn)?;
        Ok(())
    }

    fn insert_quotes(
        &self,
        conn: &mut PgConnection,
        snapshots: &[SnapshotId],
        reports: &[Report],
    ) -> QueryResult<()> {
        let (mut ids, mut coins, mut ranks, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut columns: [Vec<Option<f64>>; 7] = Default::default();
        for (snapshot, report) in snapshots.iter().zip(reports) {
            for entry in &report.entries {
                let Some(coin) = self.ids.get(&entry.provider_coin_id) else { continue };
                ids.push(*snapshot);
                coins.push(*coin);
                ranks.push(entry.rank);
                times.push(report.as_of);
                let numbers = &entry.numbers;
                let values = [
                    numbers.price,
                    numbers.volume_24h,
                    numbers.volume_change_24h,
                    numbers.percent_change_1h,
                    numbers.percent_change_24h,
                    numbers.percent_change_7d,
                    numbers.market_cap,
                ];
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(value);
                }
            }
        }
        let [price, volume, volume_change, hour, day, week, cap] = columns;
        sql_query(
            "INSERT INTO coin_quotes (snapshot_id, coin_id, rank, updated_at, price, volume_24h, \
                 volume_change_24h, percent_change_1h, percent_change_24h, percent_change_7d, market_cap) \
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<BigInt>, _>(coins)
        .bind::<Array<Integer>, _>(ranks)
        .bind::<Array<Timestamptz>, _>(times)
        .bind::<Array<Nullable<Double>>, _>(price)
        .bind::<Array<Nullable<Double>>, _>(volume)
        .bind::<Array<Nullable<Double>>, _>(volume_change)
        .bind::<Array<Nullable<Double>>, _>(hour)
        .bind::<Array<Nullable<Double>>, _>(day)
        .bind::<Array<Nullable<Double>>, _>(week)
        .bind::<Array<Nullable<Double>>, _>(cap)
        .execute(conn)?;
        Ok(())
    }

    fn insert_rates(
        &self,
        conn: &mut PgConnection,
        snapshots: &[SnapshotId],
        reports: &[Report],
    ) -> QueryResult<()> {
        let (mut ids, mut codes, mut rates, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (snapshot, report) in snapshots.iter().zip(reports) {
            let base = self.world.units(&report.currency, report.as_of).unwrap_or(1.0);
            for currency in &self.currencies {
                ids.push(*snapshot);
                codes.push(currency.as_str());
                rates.push(self.world.units(currency, report.as_of).unwrap_or(1.0) / base);
                times.push(report.as_of);
            }
        }
        sql_query(
            "INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at) \
             SELECT * FROM unnest($1, $2, $3, $4)",
        )
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(codes)
        .bind::<Array<Double>, _>(rates)
        .bind::<Array<Timestamptz>, _>(times)
        .execute(conn)?;
        Ok(())
    }
}

fn insert(
    conn: &mut PgConnection,
    coin: CoinId,
    currency: &str,
    step: Step,
    samples: i32,
    rows: Rows,
) -> QueryResult<()> {
    let Rows { at, candles: [open, high, low, close], volumes, caps } = rows;
    sql_query(
        "INSERT INTO coin_history (coin_id, currency, step_seconds, samples, volume_24h_samples, \
             market_cap_samples, sentiment_samples, popularity_samples, sources, \
             at, open, high, low, close, volume_24h, market_cap) \
         SELECT $1, $2, $3, $4, $4, $4, 0, 0, ARRAY[$5], n.* FROM unnest($6, $7, $8, $9, $10, $11, $12) AS n",
    )
    .bind::<BigInt, _>(coin)
    .bind::<Text, _>(currency)
    .bind::<Integer, _>(step.seconds())
    .bind::<Integer, _>(samples)
    .bind::<Text, _>(NAMES[0])
    .bind::<Array<Timestamptz>, _>(at)
    .bind::<Array<Double>, _>(open)
    .bind::<Array<Double>, _>(high)
    .bind::<Array<Double>, _>(low)
    .bind::<Array<Double>, _>(close)
    .bind::<Array<Double>, _>(volumes)
    .bind::<Array<Double>, _>(caps)
    .execute(conn)?;
    Ok(())
}
