//! The SQL of coins.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    Connection, PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Integer, Timestamptz, Uuid as SqlUuid},
    upsert::excluded,
};
use uuid::Uuid;

use super::{
    model::{Coin, Report, Snapshot},
    providers::{coinmarketcap, demo},
};
use crate::db::schema::{coin_quotes, coin_refs, coin_snapshots, coins, provider_state, sync_slots};

pub(super) const CHANNEL: &str = "mintage_coins";
pub(super) const DEMO: &str = "demo";
/// Faster than syncs add them, and far below the statement timeout.
const PRUNED_AT_ONCE: i64 = 50;

#[derive(Queryable, Insertable)]
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
        let present = coin_snapshots::table
            .filter(coin_snapshots::provider.eq(DEMO).and(coin_snapshots::as_of.eq(report.as_of)));
        if diesel::select(diesel::dsl::exists(present)).get_result(conn)? {
            return Ok(());
        }
        insert(conn, DEMO, coinmarketcap::NAME, &report, now)
    })
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    Yes,
    /// The slot has gone to another replica.
    Superseded,
    /// It is from before the snapshot that is there.
    Older,
}

/// Commits a report as the newest snapshot.
pub(super) fn publish(
    conn: &mut PgConnection,
    claim: &Claim,
    provider: &str,
    report: &Report,
    now: DateTime<Utc>,
) -> QueryResult<Published> {
    lock(conn)?;
    let newest = coin_snapshots::table
        .filter(coin_snapshots::currency.eq(&report.currency).and(coin_snapshots::provider.eq(provider)))
        .select(diesel::dsl::max(coin_snapshots::as_of))
        .first::<Option<DateTime<Utc>>>(conn)?;
    if newest.is_some_and(|newest| newest > report.as_of) {
        return Ok(Published::Older);
    }
    if !finish(conn, claim, now)? {
        return Ok(Published::Superseded);
    }
    insert(conn, provider, provider, report, now)?;
    let success = (
        provider_state::failures.eq(0),
        provider_state::retry_at.eq(None::<DateTime<Utc>>),
        provider_state::stopped.eq(false),
        provider_state::last_success_at.eq(now),
    );
    diesel::insert_into(provider_state::table)
        .values((provider_state::provider.eq(provider), success))
        .on_conflict(provider_state::provider)
        .do_update()
        .set(success)
        .execute(conn)?;
    sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    Ok(Published::Yes)
}

/// Serialises writers, so that two never create the same coin.
fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("LOCK TABLE coin_refs IN EXCLUSIVE MODE").execute(conn)?;
    Ok(())
}

fn insert(
    conn: &mut PgConnection,
    provider: &str,
    refs_of: &str,
    report: &Report,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let ids = coin_ids(conn, refs_of, report)?;
    let snapshot_id: i64 = diesel::insert_into(coin_snapshots::table)
        .values((
            coin_snapshots::provider.eq(provider),
            coin_snapshots::currency.eq(&report.currency),
            coin_snapshots::as_of.eq(report.as_of),
            coin_snapshots::fetched_at.eq(now),
        ))
        .returning(coin_snapshots::id)
        .get_result(conn)?;
    let rows: Vec<_> = report
        .entries
        .iter()
        .map(|entry| QuoteRow {
            snapshot_id,
            coin_id: ids[&entry.provider_coin_id],
            rank: entry.coin.rank,
            price: entry.coin.price,
            volume_24h: entry.coin.volume_24h,
            volume_change_24h: entry.coin.volume_change_24h,
            percent_change_1h: entry.coin.percent_change_1h,
            percent_change_24h: entry.coin.percent_change_24h,
            percent_change_7d: entry.coin.percent_change_7d,
            market_cap: entry.coin.market_cap,
        })
        .collect();
    diesel::insert_into(coin_quotes::table).values(rows).execute(conn)?;
    Ok(())
}

/// Our ids of the reported coins; new ones are created, renamed ones renamed.
fn coin_ids(conn: &mut PgConnection, provider: &str, report: &Report) -> QueryResult<HashMap<String, i64>> {
    let names = report.entries.iter().map(|entry| entry.provider_coin_id.as_str());
    let mut ids: HashMap<String, i64> = coin_refs::table
        .filter(coin_refs::provider.eq(provider))
        .filter(coin_refs::provider_coin_id.eq_any(names))
        .select((coin_refs::provider_coin_id, coin_refs::coin_id))
        .load::<(String, i64)>(conn)?
        .into_iter()
        .collect();
    for entry in &report.entries {
        let Coin { symbol, name, slug, .. } = &entry.coin;
        let values = (coins::symbol.eq(symbol), coins::name.eq(name), coins::slug.eq(slug));
        if let Some(id) = ids.get(&entry.provider_coin_id) {
            let changed = coins::symbol.ne(symbol).or(coins::name.ne(name)).or(coins::slug.ne(slug));
            diesel::update(coins::table.filter(coins::id.eq(id).and(changed))).set(values).execute(conn)?;
            continue;
        }
        let id: i64 =
            diesel::insert_into(coins::table).values(values).returning(coins::id).get_result(conn)?;
        diesel::insert_into(coin_refs::table)
            .values((
                coin_refs::provider.eq(provider),
                coin_refs::provider_coin_id.eq(&entry.provider_coin_id),
                coin_refs::coin_id.eq(id),
            ))
            .execute(conn)?;
        ids.insert(entry.provider_coin_id.clone(), id);
    }
    Ok(ids)
}

/// The newest snapshot to serve: real data in this currency if it is wanted and there is any,
/// else the demonstration.
pub(super) fn latest(conn: &mut PgConnection, currency: Option<&str>) -> QueryResult<Option<Snapshot>> {
    let newest = || {
        coin_snapshots::table.order(coin_snapshots::id.desc()).select((
            coin_snapshots::id,
            coin_snapshots::provider,
            coin_snapshots::currency,
            coin_snapshots::as_of,
        ))
    };
    let real: Option<(i64, String, String, DateTime<Utc>)> = match currency {
        None => None,
        Some(currency) => newest()
            .filter(coin_snapshots::currency.eq(currency).and(coin_snapshots::provider.ne(DEMO)))
            .first(conn)
            .optional()?,
    };
    let row = match real {
        Some(row) => Some(row),
        None => newest().filter(coin_snapshots::provider.eq(DEMO)).first(conn).optional()?,
    };
    let Some((id, provider, currency, as_of)) = row else {
        return Ok(None);
    };
    let rows: Vec<(QuoteRow, (String, String, String))> = coin_quotes::table
        .inner_join(coins::table)
        .filter(coin_quotes::snapshot_id.eq(id))
        .order((coin_quotes::rank, coin_quotes::coin_id))
        .select((coin_quotes::all_columns, (coins::symbol, coins::name, coins::slug)))
        .load(conn)?;
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
    };
    Ok(Some(Snapshot { provider, currency, as_of, coins: rows.into_iter().map(coin).collect() }))
}

/// The right to run one slot, for as long as the lease lasts.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Claim {
    #[diesel(sql_type = Timestamptz)]
    slot: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    holder: Uuid,
    #[diesel(sql_type = Integer)]
    attempt: i32,
}

/// Claims the slot if nobody has, or if its holder did not finish within its lease.
pub(super) fn claim(
    conn: &mut PgConnection,
    slot: DateTime<Utc>,
    holder: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> QueryResult<Option<Claim>> {
    sql_query(
        "INSERT INTO sync_slots AS s (slot, holder, lease_until) VALUES ($1, $2, $4) \
         ON CONFLICT (slot) DO UPDATE SET holder = $2, lease_until = $4, attempt = s.attempt + 1 \
         WHERE s.finished_at IS NULL AND s.lease_until < $3 \
         RETURNING slot, holder, attempt",
    )
    .bind::<Timestamptz, _>(slot)
    .bind::<SqlUuid, _>(holder)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease_until)
    .get_result(conn)
    .optional()
}

/// The slot is done; false when the lease ran out and another replica has claimed it.
fn finish(conn: &mut PgConnection, claim: &Claim, now: DateTime<Utc>) -> QueryResult<bool> {
    settle(conn, claim, Some(now), now)
}

/// Gives the slot back until then; false as for [`finish`].
pub(super) fn postpone(conn: &mut PgConnection, claim: &Claim, until: DateTime<Utc>) -> QueryResult<bool> {
    settle(conn, claim, None, until)
}

fn settle(
    conn: &mut PgConnection,
    claim: &Claim,
    finished_at: Option<DateTime<Utc>>,
    lease_until: DateTime<Utc>,
) -> QueryResult<bool> {
    let held = sync_slots::table
        .find(claim.slot)
        .filter(sync_slots::holder.eq(claim.holder))
        .filter(sync_slots::attempt.eq(claim.attempt))
        .filter(sync_slots::finished_at.is_null());
    let values = (sync_slots::finished_at.eq(finished_at), sync_slots::lease_until.eq(lease_until));
    Ok(diesel::update(held).set(values).execute(conn)? == 1)
}

/// Whether and when a provider may be asked.
#[derive(Clone, Debug, Default, Queryable, Selectable)]
#[diesel(table_name = provider_state)]
pub(super) struct ProviderState {
    pub failures: i32,
    pub retry_at: Option<DateTime<Utc>>,
    pub stopped: bool,
}

pub(super) fn state(conn: &mut PgConnection, provider: &str) -> QueryResult<ProviderState> {
    let row = provider_state::table.find(provider).select(ProviderState::as_select());
    Ok(row.first(conn).optional()?.unwrap_or_default())
}

/// Writes a failure down; good data stays as it is.
pub(super) fn record_failure(
    conn: &mut PgConnection,
    provider: &str,
    state: &ProviderState,
    error: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::insert_into(provider_state::table)
        .values((
            provider_state::provider.eq(provider),
            provider_state::failures.eq(state.failures),
            provider_state::retry_at.eq(state.retry_at),
            provider_state::stopped.eq(state.stopped),
            provider_state::last_error.eq(error),
            provider_state::last_error_at.eq(now),
        ))
        .on_conflict(provider_state::provider)
        .do_update()
        .set((
            provider_state::failures.eq(excluded(provider_state::failures)),
            provider_state::retry_at.eq(excluded(provider_state::retry_at)),
            provider_state::stopped.eq(excluded(provider_state::stopped)),
            provider_state::last_error.eq(excluded(provider_state::last_error)),
            provider_state::last_error_at.eq(excluded(provider_state::last_error_at)),
        ))
        .execute(conn)?;
    Ok(())
}

/// A restart is how an operator says that key, plan or quota are in order again.
pub(super) fn clear_stops(conn: &mut PgConnection) -> QueryResult<()> {
    let cleared = diesel::update(provider_state::table.filter(provider_state::stopped))
        .set((provider_state::stopped.eq(false), provider_state::retry_at.eq(None::<DateTime<Utc>>)))
        .execute(conn)?;
    if cleared > 0 {
        // The slots that were put off because of it.
        diesel::update(sync_slots::table.filter(sync_slots::finished_at.is_null()))
            .set(sync_slots::lease_until.eq(DateTime::UNIX_EPOCH))
            .execute(conn)?;
    }
    Ok(())
}

/// Drops history before `limit`, a part at a time, except the newest snapshots, which may still
/// be served.
pub(super) fn prune(conn: &mut PgConnection, limit: DateTime<Utc>) -> QueryResult<()> {
    let newest: Vec<i64> = coin_snapshots::table
        .group_by((coin_snapshots::provider, coin_snapshots::currency))
        .select(diesel::dsl::max(coin_snapshots::id).assume_not_null())
        .load(conn)?;
    let old: Vec<i64> = coin_snapshots::table
        .filter(coin_snapshots::fetched_at.lt(limit).and(coin_snapshots::id.ne_all(newest)))
        .order(coin_snapshots::id)
        .limit(PRUNED_AT_ONCE)
        .select(coin_snapshots::id)
        .load(conn)?;
    diesel::delete(coin_snapshots::table.filter(coin_snapshots::id.eq_any(old))).execute(conn)?;
    diesel::delete(sync_slots::table.filter(sync_slots::slot.lt(limit))).execute(conn)?;
    Ok(())
}
