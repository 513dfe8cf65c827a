//! Stores the state of each service: when it may be called, and how much of its budget is used.
//!
//! The state is in the database, because any replica may run the next sync.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Date, Integer, Nullable, Text},
    upsert::excluded,
};

use crate::db::schema::provider_state;

/// A row of `provider_state`: a market data provider or a social source.
#[derive(Clone, Debug, Default, Queryable, Selectable)]
#[diesel(table_name = provider_state)]
pub struct ServiceState {
    pub provider: String,
    pub failures: i32,
    pub retry_at: Option<DateTime<Utc>>,
    pub stopped: bool,
    pub last_success_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub last_error_at: Option<DateTime<Utc>>,
    pub usage_day: Option<NaiveDate>,
    pub used: i32,
}

/// A limit on the use of a service per UTC day.
#[derive(Clone, Copy)]
pub struct Budget {
    pub per_day: u32,
    /// The cost of the cheapest call.
    pub min_cost: u32,
}

/// No advice waits longer than a day, so a later `retry_at` comes from a wrong clock and does not count.
pub const MAX_WAIT: TimeDelta = TimeDelta::hours(25);

impl ServiceState {
    /// Returns until when it must not be called; None if it may be.
    pub fn waits_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.retry_at.filter(|retry_at| *retry_at > now && *retry_at - now <= MAX_WAIT)
    }
}

pub fn states(conn: &mut PgConnection) -> QueryResult<Vec<ServiceState>> {
    provider_state::table.select(ServiceState::as_select()).load(conn)
}

pub fn state(conn: &mut PgConnection, provider: &str) -> QueryResult<ServiceState> {
    let row = provider_state::table.find(provider).select(ServiceState::as_select());
    Ok(row.first(conn).optional()?.unwrap_or_default())
}

/// Counts `cost` for today before it is spent; false, without counting, if that exceeds the budget.
pub fn reserve(
    conn: &mut PgConnection,
    provider: &str,
    cost: u32,
    budget: Option<u32>,
    today: NaiveDate,
) -> QueryResult<bool> {
    let counted = sql_query(
        "INSERT INTO provider_state AS p (provider, usage_day, used) \
         SELECT $1, $2, $3 WHERE $4 IS NULL OR $3 <= $4 \
         ON CONFLICT (provider) DO UPDATE SET usage_day = $2, \
             used = CASE WHEN p.usage_day = $2 THEN p.used ELSE 0 END + $3 \
         WHERE $4 IS NULL OR CASE WHEN p.usage_day = $2 THEN p.used ELSE 0 END + $3 <= $4",
    )
    .bind::<Text, _>(provider)
    .bind::<Date, _>(today)
    .bind::<Integer, _>(number(cost))
    .bind::<Nullable<Integer>, _>(budget.map(number))
    .execute(conn)?;
    Ok(counted == 1)
}

/// Gives the unused part of a reservation of that day back to the budget.
pub fn refund(conn: &mut PgConnection, provider: &str, unused: u32, day: NaiveDate) -> QueryResult<()> {
    sql_query(
        "UPDATE provider_state SET used = greatest(used - $3, 0) WHERE provider = $1 AND usage_day = $2",
    )
    .bind::<Text, _>(provider)
    .bind::<Date, _>(day)
    .bind::<Integer, _>(number(unused))
    .execute(conn)?;
    Ok(())
}

fn number(cost: u32) -> i32 {
    i32::try_from(cost).unwrap_or(i32::MAX)
}

/// Records a success, which ends the back-off.
pub fn record_success(conn: &mut PgConnection, provider: &str, now: DateTime<Utc>) -> QueryResult<()> {
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
    Ok(())
}

/// Records a failure that does not count as one of the whole service, such as one of a single coin.
pub fn record_isolated_failure(
    conn: &mut PgConnection,
    provider: &str,
    error: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(provider_state::table.find(provider))
        .set((provider_state::last_error.eq(error), provider_state::last_error_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Records a failure with the state after it.
pub fn record_failure(
    conn: &mut PgConnection,
    provider: &str,
    state: &ServiceState,
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

/// Lets every stopped service be called again; true if there was one. Called at the start, since an operator restarts
/// after fixing key, plan or quota.
pub fn clear_stops(conn: &mut PgConnection) -> QueryResult<bool> {
    let cleared = diesel::update(provider_state::table.filter(provider_state::stopped))
        .set((provider_state::stopped.eq(false), provider_state::retry_at.eq(None::<DateTime<Utc>>)))
        .execute(conn)?;
    Ok(cleared > 0)
}
