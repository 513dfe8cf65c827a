//! Decides whose history is read next from a provider, and stores it.
//!
//! A try is counted before the call, so that a replica that dies has failed once. `busy_until` keeps other replicas from
//! beginning at the same time, and all of them from calling too often.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz},
};

use super::{
    super::{identity::Identities, providers::PastValue},
    history::Step,
    identity::provider_ids,
    simulation::is_simulated,
};
use crate::{
    db::{CoinId, schema::coin_backfills},
    upstream::{self, Limits},
};

/// Between the end of one history and the beginning of the next.
const PACE: TimeDelta = TimeDelta::seconds(10);
/// Longer than a call takes; after that another replica may begin.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Tries, each after a longer wait; the last one is about a day after the first.
const MAX_ATTEMPTS: i32 = 8;
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(10);
/// How far back history is read.
const DAYS: TimeDelta = TimeDelta::days(365);
/// A coin whose own history lacks less than this is complete.
const MAX_MISSING: TimeDelta = TimeDelta::days(2);
/// A value so shortly after the end of an interval is its last one: providers state the price at the full hour.
const DELAY: TimeDelta = TimeDelta::minutes(10);

/// A provider that may be called.
pub struct BackfillSource {
    pub provider: &'static str,
    pub id_namespace: &'static str,
    /// The steps in which it has a history in our currency.
    pub steps: &'static [Step],
    pub limits: Limits,
}

/// The right to read a history.
pub struct Backfill {
    pub provider: &'static str,
    pub provider_coin_id: String,
    pub coin_id: CoinId,
    pub currency: String,
    pub step: Step,
}

/// How reading a history has ended.
#[derive(Clone, Copy, PartialEq)]
pub enum Outcome {
    Done,
    /// It failed for this coin.
    Failed,
    /// The provider fails for every coin, which does not count.
    Postponed,
}

#[derive(QueryableByName)]
struct Candidate {
    #[diesel(sql_type = BigInt)]
    coin_id: CoinId,
    #[diesel(sql_type = Integer)]
    step_seconds: i32,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

/// The name under which the state of a provider's history is stored, apart from that of its list: a failure of one must not
/// stop the other.
pub fn past_service(provider: &str) -> String {
    format!("{provider}:history")
}

/// Claims the next history that is due, and reserves its cost; needs a transaction. Returns None if there is none, another
/// replica is at it, or no provider may be called.
pub fn claim_backfill(
    conn: &mut PgConnection,
    currency: &str,
    sources: &[BackfillSource],
    identities: &Identities,
    now: DateTime<Utc>,
) -> QueryResult<Option<Backfill>> {
    sql_query("SELECT pg_advisory_xact_lock(hashtext('mintage backfill'))").execute(conn)?;
    // Real points do not belong to a simulated market.
    if is_simulated(conn)? {
        return Ok(None);
    }
    // A time further ahead comes from a wrong clock.
    let busy = coin_backfills::busy_until.gt(now).and(coin_backfills::busy_until.le(now + LEASE * 2));
    if diesel::select(exists(coin_backfills::table.filter(busy))).get_result(conn)? {
        return Ok(None);
    }
    let mut ready = Vec::new();
    for source in sources {
        let list = upstream::state(conn, source.provider)?;
        let past = upstream::state(conn, &past_service(source.provider))?;
        let waits = list.waits_until(now).or(past.waits_until(now));
        if waits.or(list.is_spent_until(source.limits, 1, now)).is_none() {
            ready.push(source);
        }
    }
    let candidates = candidates(conn, currency, &ready, now)?;
    let ids: Vec<CoinId> = candidates.iter().map(|candidate| candidate.coin_id).collect();
    let refs = provider_ids(conn, &ids, identities)?;
    for Candidate { coin_id, step_seconds, attempts } in candidates {
        let of_coin = refs.get(&coin_id);
        let known: Vec<_> = ready
            .iter()
            .filter_map(|source| {
                let step = source.steps.iter().find(|step| step.seconds() == step_seconds)?;
                Some((source, *step, of_coin?.get(source.id_namespace)?))
            })
            .collect();
        // After a failure, another provider has its turn.
        let turn = usize::try_from(attempts).unwrap_or_default().checked_rem(known.len());
        let Some((source, step, provider_coin_id)) = turn.map(|turn| known[turn]) else { continue };
        if !upstream::reserve(conn, source.provider, 1, source.limits, now.date_naive())? {
            return Ok(None);
        }
        let (provider, provider_coin_id) = (source.provider, provider_coin_id.clone());
        let backfill = Backfill { provider, provider_coin_id, coin_id, currency: currency.to_owned(), step };
        begin(conn, &backfill, attempts, now)?;
        return Ok(Some(backfill));
    }
    Ok(None)
}

/// Returns the coins of the newest snapshot whose history is short and may be tried: days before hours, by rank.
fn candidates(
    conn: &mut PgConnection,
    currency: &str,
    ready: &[&BackfillSource],
    now: DateTime<Utc>,
) -> QueryResult<Vec<Candidate>> {
    let mut steps: Vec<Step> = ready.iter().flat_map(|source| source.steps).copied().collect();
    steps.sort_unstable_by_key(|step| -step.seconds());
    steps.dedup();
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    sql_query(
        "SELECT q.coin_id, t.step_seconds, coalesce(b.attempts, 0) AS attempts FROM coin_quotes q \
         CROSS JOIN unnest($2, $3) AS t (step_seconds, complete_from) \
         LEFT JOIN coin_backfills b \
             ON b.coin_id = q.coin_id AND b.currency = $1 AND b.step_seconds = t.step_seconds \
         WHERE q.snapshot_id = ( \
                 SELECT max(id) FROM coin_snapshots WHERE provider <> 'demo' AND currency = $1) \
             AND (b.coin_id IS NULL OR b.done_at IS NULL AND b.attempts < $4 AND b.retry_at <= $5) \
             AND NOT EXISTS (SELECT FROM coin_history h WHERE h.coin_id = q.coin_id AND h.currency = $1 \
                 AND h.step_seconds = t.step_seconds AND h.at <= t.complete_from) \
         ORDER BY t.step_seconds DESC, q.rank, q.coin_id",
    )
    .bind::<Text, _>(currency)
    .bind::<Array<Integer>, _>(steps.iter().map(|step| step.seconds()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(
        steps.iter().map(|step| oldest(*step, now) + MAX_MISSING).collect::<Vec<_>>(),
    )
    .bind::<Integer, _>(MAX_ATTEMPTS)
    .bind::<Timestamptz, _>(now)
    .load(conn)
}

fn begin(conn: &mut PgConnection, backfill: &Backfill, attempts: i32, now: DateTime<Utc>) -> QueryResult<()> {
    let wait = (FIRST_WAIT * 2_i32.pow(attempts.clamp(0, 10).unsigned_abs())).min(TimeDelta::days(1));
    let state = (
        coin_backfills::attempts.eq(attempts + 1),
        coin_backfills::retry_at.eq(now + wait),
        coin_backfills::busy_until.eq(now + LEASE),
    );
    diesel::insert_into(coin_backfills::table)
        .values((
            coin_backfills::coin_id.eq(backfill.coin_id),
            coin_backfills::currency.eq(&backfill.currency),
            coin_backfills::step_seconds.eq(backfill.step.seconds()),
            state,
        ))
        .on_conflict((coin_backfills::coin_id, coin_backfills::currency, coin_backfills::step_seconds))
        .do_update()
        .set(state)
        .execute(conn)?;
    Ok(())
}

/// Notes how reading a history has ended. The next one may begin after [`PACE`].
pub fn end_backfill(
    conn: &mut PgConnection,
    backfill: &Backfill,
    outcome: Outcome,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let key = (backfill.coin_id, backfill.currency.as_str(), backfill.step.seconds());
    let row = coin_backfills::table.find(key);
    diesel::update(row).set(coin_backfills::busy_until.eq(now + PACE)).execute(conn)?;
    match outcome {
        Outcome::Done => {
            diesel::update(row).set(coin_backfills::done_at.eq(now)).execute(conn)?;
        }
        Outcome::Failed => {}
        Outcome::Postponed => {
            let attempts = coin_backfills::attempts.eq(coin_backfills::attempts - 1);
            diesel::update(row).set((attempts, coin_backfills::retry_at.eq(now))).execute(conn)?;
        }
    }
    Ok(())
}

/// Returns from when on history is read.
fn oldest(step: Step, now: DateTime<Utc>) -> DateTime<Utc> {
    now - step.kept().unwrap_or(DAYS).min(DAYS)
}

/// Stores the values of intervals that have ended and of which we have nothing. Returns the number of these intervals.
pub fn insert_past(
    conn: &mut PgConnection,
    backfill: &Backfill,
    values: &[PastValue],
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let step = backfill.step;
    let candles = candles(values, step, now);
    let column = |read: fn(&Candle) -> f64| candles.values().map(read).collect::<Vec<_>>();
    let means = |read: fn(&Candle) -> Option<f64>| candles.values().map(read).collect::<Vec<Option<f64>>>();
    sql_query(
        "INSERT INTO coin_history (coin_id, currency, step_seconds, at, open, high, low, close, \
             volume_24h, market_cap, samples, sources, \
             volume_24h_samples, market_cap_samples, sentiment_samples, popularity_samples) \
         SELECT $1, $2, $3, p.at, p.open, p.high, p.low, p.close, p.volume, p.cap, 0, ARRAY[$4], \
             (p.volume IS NOT NULL)::int, (p.cap IS NOT NULL)::int, 0, 0 \
         FROM unnest($5, $6, $7, $8, $9, $10, $11) AS p (at, open, high, low, close, volume, cap) \
         ON CONFLICT ON CONSTRAINT coin_history_pkey DO NOTHING",
    )
    .bind::<BigInt, _>(backfill.coin_id)
    .bind::<Text, _>(&backfill.currency)
    .bind::<Integer, _>(step.seconds())
    .bind::<Text, _>(backfill.provider)
    .bind::<Array<Timestamptz>, _>(candles.keys().copied().collect::<Vec<_>>())
    .bind::<Array<Double>, _>(column(|candle| candle.open))
    .bind::<Array<Double>, _>(column(|candle| candle.high))
    .bind::<Array<Double>, _>(column(|candle| candle.low))
    .bind::<Array<Double>, _>(column(|candle| candle.close))
    .bind::<Array<Nullable<Double>>, _>(means(|candle| candle.volume_24h))
    .bind::<Array<Nullable<Double>>, _>(means(|candle| candle.market_cap))
    .execute(conn)?;
    Ok(candles.len())
}

/// The values of an interval. Volume and market capitalisation are its last ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candle {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume_24h: Option<f64>,
    market_cap: Option<f64>,
}

/// Groups values by the interval that ends with them or around them, without intervals that have not ended or that are too
/// old. An interval with one value has four equal prices.
fn candles(values: &[PastValue], step: Step, now: DateTime<Utc>) -> BTreeMap<DateTime<Utc>, Candle> {
    let mut sorted: Vec<&PastValue> = values.iter().collect();
    sorted.sort_by_key(|value| value.at);
    let mut candles: BTreeMap<DateTime<Utc>, Candle> = BTreeMap::new();
    for PastValue { at, price, volume_24h, market_cap } in sorted.into_iter().copied() {
        let start = step.floor(at - DELAY);
        if start + step.length() > now || start < oldest(step, now) {
            continue;
        }
        let only = Candle { open: price, high: price, low: price, close: price, volume_24h, market_cap };
        candles
            .entry(start)
            .and_modify(|candle| {
                let (high, low) = (candle.high.max(price), candle.low.min(price));
                *candle = Candle { open: candle.open, high, low, ..only };
            })
            .or_insert(only);
    }
    candles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("time")
    }

    fn value(text: &str, price: f64) -> PastValue {
        PastValue { at: at(text), price, volume_24h: Some(price * 2.0), market_cap: None }
    }

    #[test]
    fn a_value_at_the_end_of_an_interval_is_its_last_price() {
        let now = at("2026-11-20T12:30:00Z");
        let values = [
            value("2026-11-20T11:20:00Z", 5.0),
            value("2026-11-20T11:00:23Z", 3.0),
            value("2026-11-20T12:04:00Z", 4.0),
            // Its hour has not ended.
            value("2026-11-20T12:29:00Z", 9.0),
            value("2026-08-01T12:00:00Z", 9.0),
        ];
        let candles = candles(&values, Step::Hour, now);
        let prices = |hour: &str| candles[&at(hour)];
        assert_eq!(candles.len(), 2);
        let Candle { open, high, low, close, volume_24h, .. } = prices("2026-11-20T11:00:00Z");
        assert_eq!((open, high, low, close, volume_24h), (5.0, 5.0, 4.0, 4.0, Some(8.0)));
        assert_eq!((prices("2026-11-20T10:00:00Z").open, prices("2026-11-20T10:00:00Z").close), (3.0, 3.0));
    }

    #[test]
    fn a_value_of_midnight_is_the_last_price_of_the_day_before() {
        let values = [value("2026-11-19T00:00:00Z", 1.0), value("2026-11-20T00:00:00Z", 2.0)];
        let found = candles(&values, Step::Day, at("2026-11-20T12:00:00Z"));
        let days: Vec<_> = found.iter().map(|(day, candle)| (*day, candle.close)).collect();
        assert_eq!(days, [(at("2026-11-18T00:00:00Z"), 1.0), (at("2026-11-19T00:00:00Z"), 2.0)]);
    }
}
