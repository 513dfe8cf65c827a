//! Snapshots as they are written and read.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    Connection, PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Double, Text, Timestamptz},
};

use super::{
    super::{
        model::{Coin, Market, Quote, Rate, ReadRate, Report, Snapshot},
        providers::{demo, ids_of},
    },
    history::recent,
    identity::coin_ids,
};
use crate::{
    config::Provider,
    db::{
        CoinId,
        schema::{coin_quotes, coin_snapshots, coins, snapshot_rates},
    },
    social,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = coin_quotes)]
struct QuoteRow {
    snapshot_id: i64,
    coin_id: i64,
    rank: i32,
    price: Option<f64>,
    volume_24h: Option<f64>,
    volume_change_24h: Option<f64>,
    percent_change_1h: Option<f64>,
    percent_change_24h: Option<f64>,
    percent_change_7d: Option<f64>,
    market_cap: Option<f64>,
}

/// Puts the compiled-in snapshot there once, so that there is always something to serve.
///
/// # Errors
/// The database cannot be written.
pub fn ensure_demo(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    let report = demo::report();
    conn.transaction(|conn| {
        lock(conn)?;
        let present: Option<i64> = coin_snapshots::table
            .filter(coin_snapshots::provider.eq(Provider::Demo.name()))
            .filter(coin_snapshots::as_of.eq(report.as_of))
            .select(coin_snapshots::id)
            .first(conn)
            .optional()?;
        let rates = demo::rates().into_iter().map(|(currency, units)| ReadRate { currency, units, at: now });
        let market = Market { provider: Provider::Demo, report, rates: rates.collect() };
        match present {
            // It may be from before there were rates.
            Some(id) => insert_rates(conn, id, &market, now),
            None => insert(conn, &market, now).map(|_| ()),
        }
    })
}

/// Serialises writers, so that two never create the same coin.
pub(super) fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("LOCK TABLE coin_refs IN EXCLUSIVE MODE").execute(conn)?;
    Ok(())
}

/// Writes a snapshot; with the lock held.
pub(super) fn insert(conn: &mut PgConnection, market: &Market, now: DateTime<Utc>) -> QueryResult<i64> {
    let Market { provider, report, .. } = market;
    let ids = coin_ids(conn, ids_of(*provider), report, now)?;
    let snapshot_id: i64 = diesel::insert_into(coin_snapshots::table)
        .values((
            coin_snapshots::provider.eq(provider.name()),
            coin_snapshots::currency.eq(&report.currency),
            coin_snapshots::as_of.eq(report.as_of),
            coin_snapshots::fetched_at.eq(now),
        ))
        .returning(coin_snapshots::id)
        .get_result(conn)?;
    let lacks_change = report.entries.iter().any(|entry| entry.coin.volume_change_24h.is_none());
    let volumes = if lacks_change {
        volumes_a_day_ago(conn, provider.name(), &report.currency, now)?
    } else {
        HashMap::new()
    };
    diesel::insert_into(coin_quotes::table)
        .values(quotes(snapshot_id, report, &ids, &volumes))
        .execute(conn)?;
    insert_rates(conn, snapshot_id, market, now)?;
    Ok(snapshot_id)
}

fn quotes(
    snapshot_id: i64,
    report: &Report,
    ids: &HashMap<String, i64>,
    volumes: &HashMap<i64, f64>,
) -> Vec<QuoteRow> {
    let row = |coin: &Coin, coin_id: i64| {
        let own_change = || {
            let before = *volumes.get(&coin_id)?;
            Some((coin.volume_24h? / before - 1.0) * 100.0).filter(|change| change.is_finite())
        };
        QuoteRow {
            snapshot_id,
            coin_id,
            rank: coin.rank,
            price: coin.price,
            volume_24h: coin.volume_24h,
            volume_change_24h: coin.volume_change_24h.or_else(own_change),
            percent_change_1h: coin.percent_change_1h,
            percent_change_24h: coin.percent_change_24h,
            percent_change_7d: coin.percent_change_7d,
            market_cap: coin.market_cap,
        }
    };
    report.entries.iter().map(|entry| row(&entry.coin, ids[&entry.provider_coin_id])).collect()
}

/// Volumes as the same provider stated them 24 hours ago (half an hour more or less): providers
/// count different markets, so another one's say nothing.
fn volumes_a_day_ago(
    conn: &mut PgConnection,
    provider: &str,
    currency: &str,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<i64, f64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: i64,
        #[diesel(sql_type = Double)]
        volume: f64,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT q.coin_id, q.volume_24h * r.rate AS volume FROM coin_quotes q \
         JOIN snapshot_rates r ON r.snapshot_id = q.snapshot_id AND r.currency = $2 \
         WHERE q.volume_24h > 0 AND q.snapshot_id = ( \
             SELECT id FROM coin_snapshots WHERE provider = $1 \
             AND fetched_at BETWEEN $3 - interval '24 hours 30 minutes' AND $3 - interval '23 hours 30 minutes' \
             ORDER BY abs(extract(epoch FROM $3 - interval '24 hours' - fetched_at)) LIMIT 1)",
    )
    .bind::<Text, _>(provider)
    .bind::<Text, _>(currency)
    .bind::<Timestamptz, _>(now)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.coin_id, row.volume)).collect())
}

/// The snapshot's own currency and the rates of the others, each with its change since an hour, a
/// day and a week before, as far as our own history (of the same two currencies) tells.
fn insert_rates(
    conn: &mut PgConnection,
    snapshot_id: i64,
    market: &Market,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let own = ReadRate { currency: market.report.currency.clone(), units: 1.0, at: now };
    for ReadRate { currency, units, at } in [&own].into_iter().chain(&market.rates) {
        let change = |span: &str| {
            format!(
                "(SELECT ($3 / r.rate - 1) * 100 FROM coin_snapshots s \
                  JOIN snapshot_rates r ON r.snapshot_id = s.id AND r.currency = $2 \
                  WHERE s.currency = $5 AND s.provider <> 'demo' \
                  AND s.fetched_at BETWEEN $4 - interval '{span}' * 1.25 AND $4 - interval '{span}' \
                  ORDER BY s.fetched_at DESC LIMIT 1)"
            )
        };
        let changes = if *currency == own.currency {
            "0, 0, 0".to_owned()
        } else {
            [change("1 hour"), change("24 hours"), change("7 days")].join(", ")
        };
        let insert = sql_query(format!(
            "INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at, \
                 percent_change_1h, percent_change_24h, percent_change_7d) \
             SELECT $1, $2, $3, $6, {changes} WHERE $4 IS NOT NULL AND $5 IS NOT NULL \
             ON CONFLICT ON CONSTRAINT snapshot_rates_pkey DO NOTHING"
        ));
        insert
            .bind::<BigInt, _>(snapshot_id)
            .bind::<Text, _>(currency)
            .bind::<Double, _>(units)
            .bind::<Timestamptz, _>(now)
            .bind::<Text, _>(&own.currency)
            .bind::<Timestamptz, _>(at)
            .execute(conn)?;
    }
    Ok(())
}

/// The rates that are known best: those of the newest real snapshot in this currency.
pub fn last_rates(conn: &mut PgConnection, currency: &str) -> QueryResult<Vec<ReadRate>> {
    let newest: Option<i64> = coin_snapshots::table
        .filter(coin_snapshots::currency.eq(currency).and(coin_snapshots::provider.ne(Provider::Demo.name())))
        .select(diesel::dsl::max(coin_snapshots::id))
        .first(conn)?;
    let rows: Vec<(String, f64, DateTime<Utc>)> = snapshot_rates::table
        .filter(snapshot_rates::snapshot_id.nullable().eq(newest))
        .filter(snapshot_rates::currency.ne(currency))
        .select((snapshot_rates::currency, snapshot_rates::rate, snapshot_rates::rated_at))
        .load(conn)?;
    Ok(rows.into_iter().map(|(currency, units, at)| ReadRate { currency, units, at }).collect())
}

type Newest =
    (i64, (String, String, DateTime<Utc>, DateTime<Utc>), (f64, Option<f64>, Option<f64>, Option<f64>));

/// The newest snapshot that can be told in this currency, and how: real data if it is wanted and
/// there is any, else the demonstration.
pub fn latest(conn: &mut PgConnection, currency: &str, real: bool) -> QueryResult<Option<(Snapshot, Rate)>> {
    let newest = || {
        coin_snapshots::table
            .inner_join(snapshot_rates::table)
            .filter(snapshot_rates::currency.eq(currency))
            .order(coin_snapshots::id.desc())
            .select((
                coin_snapshots::id,
                (
                    coin_snapshots::provider,
                    coin_snapshots::currency,
                    coin_snapshots::as_of,
                    coin_snapshots::fetched_at,
                ),
                (
                    snapshot_rates::rate,
                    snapshot_rates::percent_change_1h,
                    snapshot_rates::percent_change_24h,
                    snapshot_rates::percent_change_7d,
                ),
            ))
    };
    let found: Option<Newest> = if real {
        newest().filter(coin_snapshots::provider.ne(Provider::Demo.name())).first(conn).optional()?
    } else {
        None
    };
    let found = match found {
        Some(found) => Some(found),
        None => newest().filter(coin_snapshots::provider.eq(Provider::Demo.name())).first(conn).optional()?,
    };
    let Some((id, (provider, of, as_of, fetched_at), (units, hour, day, week))) = found else {
        return Ok(None);
    };
    let rate = Rate {
        currency: currency.to_owned(),
        units,
        percent_change_1h: hour,
        percent_change_24h: day,
        percent_change_7d: week,
    };
    let (coins, recent) = (coins_of(conn, id, as_of)?, recent(conn, currency)?);
    Ok(Some((Snapshot { id, provider, currency: of, as_of, fetched_at, coins, recent }, rate)))
}

fn coins_of(conn: &mut PgConnection, snapshot_id: i64, as_of: DateTime<Utc>) -> QueryResult<Vec<Coin>> {
    let rows: Vec<(QuoteRow, (String, String, String))> = coin_quotes::table
        .inner_join(coins::table)
        .filter(coin_quotes::snapshot_id.eq(snapshot_id))
        .order((coin_quotes::rank, coin_quotes::coin_id))
        .select((QuoteRow::as_select(), (coins::symbol, coins::name, coins::slug)))
        .load(conn)?;
    let ids: Vec<CoinId> = rows.iter().map(|(quote, _)| CoinId(quote.coin_id)).collect();
    let mut social = social::current(conn, &ids, as_of)?;
    let coin = |(quote, (symbol, name, slug)): (QuoteRow, _)| Coin {
        id: quote.coin_id,
        symbol,
        name,
        slug,
        rank: quote.rank,
        price: quote.price,
        volume_24h: quote.volume_24h,
        volume_change_24h: quote.volume_change_24h,
        percent_change_1h: quote.percent_change_1h,
        percent_change_24h: quote.percent_change_24h,
        percent_change_7d: quote.percent_change_7d,
        market_cap: quote.market_cap,
        quote: Quote::default(),
        social: social.remove(&CoinId(quote.coin_id)),
    };
    Ok(rows.into_iter().map(coin).collect())
}
