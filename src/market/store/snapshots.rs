//! Writes and reads snapshots with their quotes and rates.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    Connection, PgConnection, QueryResult,
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable, Text, Timestamptz},
};

use super::{
    super::{
        identity::Identities,
        model::{
            Coin, Entry, Identity, Market, Numbers, Profile, Rate, RateChanges, ReadRate, Report, Snapshot,
        },
        providers::demo,
    },
    history::recent,
    identity::{coin_ids, describe},
    sparklines::sparklines,
};
use crate::{
    db::{
        CoinId, SnapshotId,
        schema::{coin_quotes, coin_snapshots, coins, snapshot_rates},
    },
    social,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = coin_quotes)]
struct QuoteRow {
    snapshot_id: SnapshotId,
    coin_id: CoinId,
    rank: i32,
    is_listed: bool,
    #[diesel(embed)]
    numbers: Numbers,
    updated_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = coins)]
struct ProfileRow {
    image: Option<String>,
    tags: Vec<Option<String>>,
}

/// A snapshot with its rate to one currency.
#[derive(Queryable, Selectable)]
#[diesel(table_name = coin_snapshots)]
struct SnapshotRow {
    id: SnapshotId,
    provider: String,
    currency: String,
    as_of: DateTime<Utc>,
    fetched_at: DateTime<Utc>,
    #[diesel(embed)]
    rate: Rate,
}

/// Inserts the demo snapshot once, so that there is always data to serve.
pub fn ensure_demo(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    let report = demo::report();
    conn.transaction(|conn| {
        lock(conn)?;
        let present: Option<SnapshotId> = coin_snapshots::table
            .filter(coin_snapshots::provider.eq(demo::NAME))
            .filter(coin_snapshots::as_of.eq(report.as_of))
            .select(coin_snapshots::id)
            .first(conn)
            .optional()?;
        let rates = demo::rates(now);
        let market = Market { provider: demo::NAME, id_namespace: demo::ID_NAMESPACE, report, rates };
        match present {
            // Earlier versions wrote it without rates.
            Some(id) => insert_rates(conn, id, &market, now),
            None => insert(conn, &market, &Identities::default(), now).map(|_| ()),
        }
    })
}

/// Makes writers wait for each other, so that two replicas never create the same coin.
pub(super) fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("LOCK TABLE coin_refs IN EXCLUSIVE MODE").execute(conn)?;
    Ok(())
}

/// Writes a snapshot; the caller holds the [`lock`].
pub(super) fn insert(
    conn: &mut PgConnection,
    market: &Market,
    identities: &Identities,
    now: DateTime<Utc>,
) -> QueryResult<SnapshotId> {
    let Market { provider, id_namespace, report, .. } = market;
    let ids = coin_ids(conn, id_namespace, report, identities, now)?;
    describe(conn, &ids, report)?;
    let is_repeat = is_repeat(conn, provider, report, now)?;
    let snapshot_id: SnapshotId = diesel::insert_into(coin_snapshots::table)
        .values((
            coin_snapshots::provider.eq(provider),
            coin_snapshots::currency.eq(&report.currency),
            coin_snapshots::as_of.eq(report.as_of),
            coin_snapshots::fetched_at.eq(now),
            coin_snapshots::is_repeat.eq(is_repeat),
        ))
        .returning(coin_snapshots::id)
        .get_result(conn)?;
    let lacks_change = report.entries.iter().any(|entry| entry.numbers.volume_change_24h.is_none());
    let volumes = if lacks_change { volumes_a_day_ago(conn, provider, report)? } else { HashMap::new() };
    diesel::insert_into(coin_quotes::table)
        .values(quotes(snapshot_id, report, &ids, &volumes))
        .execute(conn)?;
    insert_rates(conn, snapshot_id, market, now)?;
    Ok(snapshot_id)
}

/// Whether there is a snapshot of the same provider and currency with data of this time or later. Times in the future do
/// not count: they come from a wrong clock, and all reports would repeat them.
fn is_repeat(
    conn: &mut PgConnection,
    provider: &str,
    report: &Report,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let same = coin_snapshots::table
        .filter(coin_snapshots::provider.eq(provider).and(coin_snapshots::currency.eq(&report.currency)))
        .filter(coin_snapshots::as_of.between(report.as_of, now));
    diesel::select(exists(same)).get_result(conn)
}

fn quotes(
    snapshot_id: SnapshotId,
    report: &Report,
    ids: &HashMap<String, CoinId>,
    volumes: &HashMap<CoinId, f64>,
) -> Vec<QuoteRow> {
    let row = |entry: &Entry| {
        let coin_id = ids[&entry.provider_coin_id];
        let own_change = || {
            let before = *volumes.get(&coin_id)?;
            Some((entry.numbers.volume_24h? / before - 1.0) * 100.0).filter(|change| change.is_finite())
        };
        let volume_change_24h = entry.numbers.volume_change_24h.or_else(own_change);
        let numbers = Numbers { volume_change_24h, ..entry.numbers.clone() };
        let Entry { rank, is_listed, updated_at, .. } = *entry;
        QuoteRow { snapshot_id, coin_id, rank, is_listed, numbers, updated_at }
    };
    report.entries.iter().map(row).collect()
}

/// Returns the volumes of the same provider 24 hours before the report, within half an hour. Volumes of different providers
/// cannot be compared, because they count different markets.
fn volumes_a_day_ago(
    conn: &mut PgConnection,
    provider: &str,
    report: &Report,
) -> QueryResult<HashMap<CoinId, f64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        coin_id: CoinId,
        #[diesel(sql_type = Double)]
        volume: f64,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT q.coin_id, q.volume_24h * r.rate AS volume FROM coin_quotes q \
         JOIN snapshot_rates r ON r.snapshot_id = q.snapshot_id AND r.currency = $2 \
         WHERE q.volume_24h > 0 AND q.snapshot_id = ( \
             SELECT id FROM coin_snapshots WHERE provider = $1 \
             AND as_of BETWEEN $3 - interval '24 hours 30 minutes' AND $3 - interval '23 hours 30 minutes' \
             ORDER BY abs(extract(epoch FROM $3 - interval '24 hours' - as_of)), id LIMIT 1)",
    )
    .bind::<Text, _>(provider)
    .bind::<Text, _>(&report.currency)
    .bind::<Timestamptz, _>(report.as_of)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.coin_id, row.volume)).collect())
}

/// Writes the rates of the snapshot, each with its change since an hour, a day, a week and 30 days before: as the provider
/// states it, or else, up to a week, from our own history of the same two currencies. The rate to its own currency is 1 and
/// never changes.
fn insert_rates(
    conn: &mut PgConnection,
    snapshot_id: SnapshotId,
    market: &Market,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let base = &market.report.currency;
    let own = ReadRate { currency: base.clone(), units: 1.0, changes: RateChanges::default(), at: now };
    let all = || [&own].into_iter().chain(&market.rates);
    let change = |stated: &str, span: &str| {
        format!(
            "CASE WHEN n.currency = $5 THEN 0 ELSE coalesce(n.{stated}, ( \
                 SELECT (n.rate / r.rate - 1) * 100 FROM coin_snapshots s \
                 JOIN snapshot_rates r ON r.snapshot_id = s.id AND r.currency = n.currency \
                 WHERE s.currency = $5 AND s.provider <> 'demo' AND NOT s.is_repeat \
                     AND s.as_of BETWEEN $6 - interval '{span}' * 1.25 AND $6 - interval '{span}' \
                 ORDER BY s.as_of DESC LIMIT 1)) END"
        )
    };
    // Snapshots are not kept for 30 days.
    let in_month = "CASE WHEN n.currency = $5 THEN 0 ELSE n.in_month END";
    sql_query(format!(
        "INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at, \
             percent_change_1h, percent_change_24h, percent_change_7d, percent_change_30d) \
         SELECT $1, n.currency, n.rate, n.rated_at, {}, {}, {}, {in_month} \
         FROM unnest($2, $3, $4, $7, $8, $9, $10) \
             AS n (currency, rate, rated_at, in_hour, in_day, in_week, in_month) \
         ON CONFLICT ON CONSTRAINT snapshot_rates_pkey DO NOTHING",
        change("in_hour", "1 hour"),
        change("in_day", "24 hours"),
        change("in_week", "7 days")
    ))
    .bind::<BigInt, _>(snapshot_id)
    .bind::<Array<Text>, _>(all().map(|rate| rate.currency.as_str()).collect::<Vec<_>>())
    .bind::<Array<Double>, _>(all().map(|rate| rate.units).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(all().map(|rate| rate.at).collect::<Vec<_>>())
    .bind::<Text, _>(base)
    .bind::<Timestamptz, _>(market.report.as_of)
    .bind::<Array<Nullable<Double>>, _>(all().map(|rate| rate.changes.hour).collect::<Vec<_>>())
    .bind::<Array<Nullable<Double>>, _>(all().map(|rate| rate.changes.day).collect::<Vec<_>>())
    .bind::<Array<Nullable<Double>>, _>(all().map(|rate| rate.changes.week).collect::<Vec<_>>())
    .bind::<Array<Nullable<Double>>, _>(all().map(|rate| rate.changes.month).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

/// Returns the rates of the newest real snapshot in this currency.
pub fn last_rates(conn: &mut PgConnection, currency: &str) -> QueryResult<Vec<ReadRate>> {
    let newest: Option<SnapshotId> = coin_snapshots::table
        .filter(coin_snapshots::currency.eq(currency).and(coin_snapshots::provider.ne(demo::NAME)))
        .select(diesel::dsl::max(coin_snapshots::id))
        .first(conn)?;
    let rows: Vec<(Rate, DateTime<Utc>)> = snapshot_rates::table
        .filter(snapshot_rates::snapshot_id.nullable().eq(newest))
        .filter(snapshot_rates::currency.ne(currency))
        .select((Rate::as_select(), snapshot_rates::rated_at))
        .load(conn)?;
    let read = |(rate, at): (Rate, DateTime<Utc>)| {
        let changes = RateChanges {
            hour: rate.percent_change_1h,
            day: rate.percent_change_24h,
            week: rate.percent_change_7d,
            month: rate.percent_change_30d,
        };
        ReadRate { currency: rate.currency, units: rate.units, changes, at }
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Returns the time of the data of a snapshot.
pub fn time_of(conn: &mut PgConnection, snapshot: SnapshotId) -> QueryResult<DateTime<Utc>> {
    coin_snapshots::table.find(snapshot).select(coin_snapshots::as_of).first(conn)
}

/// Whether there is a snapshot of real data, in any currency.
pub fn has_real(conn: &mut PgConnection) -> QueryResult<bool> {
    diesel::select(exists(coin_snapshots::table.filter(coin_snapshots::provider.ne(demo::NAME))))
        .get_result(conn)
}

/// Reads the newest snapshot of real or of demo data that has a rate to this currency; without a currency the newest of
/// all, in its own.
pub fn latest(
    conn: &mut PgConnection,
    currency: Option<&str>,
    is_real: bool,
) -> QueryResult<Option<(Snapshot, Rate)>> {
    let is_demo = coin_snapshots::provider.eq(demo::NAME);
    let newest = coin_snapshots::table
        .inner_join(snapshot_rates::table)
        .filter(is_demo.ne(is_real))
        .order(coin_snapshots::id.desc())
        .select(SnapshotRow::as_select());
    let found = match currency {
        Some(code) => newest.filter(snapshot_rates::currency.eq(code)).first(conn),
        None => newest.filter(snapshot_rates::currency.eq(coin_snapshots::currency)).first(conn),
    };
    let Some(row) = found.optional()? else { return Ok(None) };
    let (coins, listed) = coins_of(conn, &row)?;
    let recent = recent(conn, &row.rate.currency)?;
    let ids: Vec<CoinId> = coins.iter().map(|coin| coin.id).collect();
    let sparklines = sparklines(conn, &ids, &row.rate.currency, row.as_of)?;
    let SnapshotRow { id, provider, currency, as_of, fetched_at, rate } = row;
    let snapshot = Snapshot { id, provider, currency, as_of, fetched_at, coins, listed, recent, sparklines };
    Ok(Some((snapshot, rate)))
}

/// Returns the coins of a snapshot, and how many of them are in the list.
fn coins_of(conn: &mut PgConnection, snapshot: &SnapshotRow) -> QueryResult<(Vec<Coin>, usize)> {
    let rows: Vec<(QuoteRow, Identity, ProfileRow)> = coin_quotes::table
        .inner_join(coins::table)
        .filter(coin_quotes::snapshot_id.eq(snapshot.id))
        .order((coin_quotes::is_listed.desc(), coin_quotes::rank, coin_quotes::coin_id))
        .select((QuoteRow::as_select(), Identity::as_select(), ProfileRow::as_select()))
        .load(conn)?;
    let ids: Vec<CoinId> = rows.iter().map(|(_, identity, _)| identity.id).collect();
    let mut social = social::current(conn, &ids, snapshot.as_of)?;
    let coin = |(quote, identity, ProfileRow { image, tags }): (QuoteRow, Identity, ProfileRow)| {
        let social = social.remove(&identity.id);
        let profile = Profile { image, tags: Some(tags.into_iter().flatten().collect()) };
        let QuoteRow { rank, numbers, updated_at, .. } = quote;
        Coin::new(identity, profile, rank, social, numbers, updated_at, &snapshot.currency)
    };
    let listed = rows.iter().filter(|(quote, ..)| quote.is_listed).count();
    Ok((rows.into_iter().map(coin).collect(), listed))
}
