//! Stores the state of each service: when it may be called, and how much of its budget is used.
//!
//! The state is in the database, because any replica may run the next sync.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Date, Integer, Nullable, Text},
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
    pub usage_month: Option<NaiveDate>,
    pub used_in_month: i32,
}

/// A limit on the use of a service per UTC day.
#[derive(Clone, Copy)]
pub struct Budget {
    pub per_day: u32,
    /// The cost of the cheapest call.
    pub min_cost: u32,
}

/// The limits of a service per UTC day and month; None: no limit.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    pub per_day: Option<u32>,
    pub per_month: Option<u32>,
}

impl From<Option<u32>> for Limits {
    fn from(per_day: Option<u32>) -> Self {
        Self { per_day, per_month: None }
    }
}

/// No advice waits longer than a day, so a later `retry_at` comes from a wrong clock and does not count.
pub const MAX_WAIT: TimeDelta = TimeDelta::hours(25);

impl ServiceState {
    /// Returns until when it must not be called; None if it may be.
    pub fn waits_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.retry_at.filter(|retry_at| *retry_at > now && *retry_at - now <= MAX_WAIT)
    }

    /// What was used today.
    pub fn used_today(&self, now: DateTime<Utc>) -> u32 {
        if self.usage_day == Some(now.date_naive()) { self.used.unsigned_abs() } else { 0 }
    }

    /// What was used in this month.
    pub fn used_this_month(&self, now: DateTime<Utc>) -> u32 {
        if self.usage_month == Some(month(now.date_naive())) { self.used_in_month.unsigned_abs() } else { 0 }
    }

    /// Returns until when its budget is used up; None if there is enough left for this cost.
    pub fn is_spent_until(&self, limits: Limits, cost: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let exceeds =
            |used: u32, limit: Option<u32>| limit.is_some_and(|limit| used.saturating_add(cost) > limit);
        if exceeds(self.used_this_month(now), limits.per_month) {
            return Some(next_month(now));
        }
        exceeds(self.used_today(now), limits.per_day).then(|| next_day(now))
    }
}

/// The first day of a month.
fn month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).expect("every month has a first day")
}

/// Returns the next midnight UTC.
pub fn next_day(now: DateTime<Utc>) -> DateTime<Utc> {
    let tomorrow = now.date_naive().succ_opt().expect("a date far from the last one");
    tomorrow.and_time(NaiveTime::MIN).and_utc()
}

/// The next midnight UTC that begins a month.
fn next_month(now: DateTime<Utc>) -> DateTime<Utc> {
    let first = month(now.date_naive()).checked_add_months(Months::new(1)).expect("not the end of time");
    first.and_time(NaiveTime::MIN).and_utc()
}

pub fn states(conn: &mut PgConnection) -> QueryResult<Vec<ServiceState>> {
    provider_state::table.select(ServiceState::as_select()).load(conn)
}

pub fn state(conn: &mut PgConnection, provider: &str) -> QueryResult<ServiceState> {
    let row = provider_state::table.find(provider).select(ServiceState::as_select());
    Ok(row.first(conn).optional()?.unwrap_or_default())
}

/// Counts `cost` for today and this month before it is spent; false, without counting, if that exceeds a limit.
pub fn reserve(
    conn: &mut PgConnection,
    provider: &str,
    cost: u32,
    limits: impl Into<Limits>,
    today: NaiveDate,
) -> QueryResult<bool> {
    const DAY: &str = "CASE WHEN p.usage_day = $2 THEN p.used ELSE 0 END + $4";
    const MONTH: &str = "CASE WHEN p.usage_month = $3 THEN p.used_in_month ELSE 0 END + $4";
    let limits = limits.into();
    let counted = sql_query(format!(
        "INSERT INTO provider_state AS p (provider, usage_day, used, usage_month, used_in_month) \
         SELECT $1, $2, $4, $3, $4 WHERE ($5 IS NULL OR $4 <= $5) AND ($6 IS NULL OR $4 <= $6) \
         ON CONFLICT (provider) DO UPDATE \
         SET usage_day = $2, used = {DAY}, usage_month = $3, used_in_month = {MONTH} \
         WHERE ($5 IS NULL OR {DAY} <= $5) AND ($6 IS NULL OR {MONTH} <= $6)",
    ))
    .bind::<Text, _>(provider)
    .bind::<Date, _>(today)
    .bind::<Date, _>(month(today))
    .bind::<Integer, _>(number(cost))
    .bind::<Nullable<Integer>, _>(limits.per_day.map(number))
    .bind::<Nullable<Integer>, _>(limits.per_month.map(number))
    .execute(conn)?;
    Ok(counted == 1)
}

/// Gives the unused part of a reservation of that day back to the budget.
pub fn refund(conn: &mut PgConnection, provider: &str, unused: u32, day: NaiveDate) -> QueryResult<()> {
    settle(conn, provider, unused, 0, day)
}

/// Replaces the reserved cost of that day by what was charged, which may be less or more.
pub fn settle(
    conn: &mut PgConnection,
    provider: &str,
    reserved: u32,
    charged: u32,
    day: NaiveDate,
) -> QueryResult<()> {
    let settled = |used: &str| format!("least(greatest({used}::bigint + $4, 0), 2147483647)::int");
    sql_query(format!(
        "UPDATE provider_state SET used = CASE WHEN usage_day = $2 THEN {} ELSE used END, \
             used_in_month = CASE WHEN usage_month = $3 THEN {} ELSE used_in_month END WHERE provider = $1",
        settled("used"),
        settled("used_in_month")
    ))
    .bind::<Text, _>(provider)
    .bind::<Date, _>(day)
    .bind::<Date, _>(month(day))
    .bind::<BigInt, _>(i64::from(charged) - i64::from(reserved))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_waits_until_the_next_day_or_month() {
        let now: DateTime<Utc> = "2026-12-20T10:00:00Z".parse().expect("time");
        let day = now.date_naive();
        let state = |used, used_in_month| ServiceState {
            usage_day: Some(day),
            used,
            usage_month: Some(month(day)),
            used_in_month,
            ..ServiceState::default()
        };
        let limits = Limits { per_day: Some(10), per_month: Some(100) };
        let until = |state: &ServiceState, cost| {
            state.is_spent_until(limits, cost, now).map(|until| until.format("%F %T").to_string())
        };
        assert_eq!(until(&state(9, 99), 1), None);
        assert_eq!(until(&state(9, 50), 2).as_deref(), Some("2026-12-21 00:00:00"));
        assert_eq!(until(&state(9, 99), 2).as_deref(), Some("2027-01-01 00:00:00"));
        let before = ServiceState { usage_day: day.pred_opt(), usage_month: None, ..state(10, 100) };
        assert_eq!(until(&before, 1), None, "another day of another month");
    }
}
