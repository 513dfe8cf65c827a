//! The SQL of jobs.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, dsl::auto_type, prelude::*, result::Error, sql_query, sql_types::Text,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Job, Running,
    model::{JobState, JobView},
};
use crate::db::schema::{job_schedules, jobs};

pub(super) const CHANNEL: &str = "mintage_jobs";
/// About a day, with the waits between them.
pub(super) const MAX_ATTEMPTS: i32 = 30;
/// Rows that a statement changes: well within the statement timeout.
const BATCH: i64 = 1000;
/// A time that is further in the future was written by a clock that was ahead.
const TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// Enqueues a job in the caller's transaction; workers are notified when it commits.
pub fn enqueue<J: Job>(conn: &mut PgConnection, job: &J, now: DateTime<Utc>) -> QueryResult<Uuid> {
    let payload = serde_json::to_value(job).map_err(|error| Error::SerializationError(error.into()))?;
    insert(conn, J::KIND, &payload, now)
}

pub(super) fn insert(
    conn: &mut PgConnection,
    kind: &str,
    payload: &Value,
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let id = Uuid::now_v7();
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::kind.eq(kind),
            jobs::payload.eq(payload),
            jobs::max_attempts.eq(MAX_ATTEMPTS),
            jobs::due_at.eq(now),
            jobs::created_at.eq(now),
        ))
        .execute(conn)?;
    notify(conn)?;
    Ok(id)
}

/// Deletes dead jobs about a person, by the id of the account or its address. The others end by themselves.
pub fn forget_dead(conn: &mut PgConnection, user: &str, email: &str) -> QueryResult<()> {
    sql_query(
        "DELETE FROM jobs WHERE state = 'dead' AND (payload ->> 'email' = $2 \
             OR $1 IN (payload ->> 'user', payload ->> 'account'))",
    )
    .bind::<Text, _>(user)
    .bind::<Text, _>(email)
    .execute(conn)?;
    Ok(())
}

fn notify(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query(format!("NOTIFY {CHANNEL}")).execute(conn)?;
    Ok(())
}

/// A job that this server runs under a lease.
#[derive(Queryable, Selectable)]
#[diesel(table_name = jobs)]
pub(super) struct Claimed {
    pub id: Uuid,
    pub kind: String,
    pub payload: Value,
    /// The number of this attempt.
    pub attempts: i32,
    pub max_attempts: i32,
}

/// Claims up to `limit` jobs that are due or whose lease has ended; must be called in a transaction.
pub(super) fn claim(
    conn: &mut PgConnection,
    kinds: &[&str],
    limit: i64,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> QueryResult<Vec<Claimed>> {
    let due: Vec<Uuid> = jobs::table
        .filter(jobs::state.ne(JobState::Dead).and(jobs::due_at.le(now)).and(jobs::kind.eq_any(kinds)))
        .order(jobs::due_at)
        .limit(limit)
        .select(jobs::id)
        .for_update()
        .skip_locked()
        .load(conn)?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    diesel::update(jobs::table.filter(jobs::id.eq_any(due)))
        .set((
            jobs::state.eq(JobState::Running),
            jobs::attempts.eq(jobs::attempts + 1),
            jobs::due_at.eq(lease_until),
        ))
        .returning(Claimed::as_returning())
        .get_results(conn)
}

/// Makes jobs due that a clock which was ahead has postponed: enqueued or failed in the future, due after more than
/// `max_wait`, or with too long a lease.
pub(super) fn recover(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    max_wait: TimeDelta,
    lease: TimeDelta,
) -> QueryResult<usize> {
    let postponed = jobs::due_at.gt(now + max_wait + TOLERANCE);
    let enqueued_ahead = jobs::attempts.eq(0).and(jobs::created_at.gt(now + TOLERANCE));
    let failed_ahead = jobs::last_error_at.gt(now + TOLERANCE).assume_not_null();
    let waiting = jobs::state.eq(JobState::Waiting).and(postponed.or(enqueued_ahead).or(failed_ahead));
    let running = jobs::state.eq(JobState::Running).and(jobs::due_at.gt(now + lease + TOLERANCE));
    let odd: Vec<Uuid> = jobs::table
        .filter(jobs::due_at.gt(now).and(waiting.or(running)))
        .order(jobs::id)
        .limit(BATCH)
        .select(jobs::id)
        .for_update()
        .skip_locked()
        .load(conn)?;
    if odd.is_empty() {
        return Ok(0);
    }
    // A run that is alive renews its lease in time.
    let leased = jobs::table.filter(jobs::id.eq_any(&odd).and(jobs::state.eq(JobState::Running)));
    diesel::update(leased).set(jobs::due_at.eq(now + lease)).execute(conn)?;
    let waiting = jobs::table.filter(jobs::id.eq_any(&odd).and(jobs::state.eq(JobState::Waiting)));
    diesel::update(waiting).set(jobs::due_at.eq(now)).execute(conn)?;
    Ok(odd.len())
}

/// Extends the lease; false if this run has lost it.
pub(super) fn renew(conn: &mut PgConnection, running: Running, until: DateTime<Utc>) -> QueryResult<bool> {
    Ok(diesel::update(leased(running)).set(jobs::due_at.eq(until)).execute(conn)? == 1)
}

/// Deletes a completed job; false if this run has lost its lease.
pub(super) fn finish(conn: &mut PgConnection, running: Running) -> QueryResult<bool> {
    Ok(diesel::delete(leased(running)).execute(conn)? == 1)
}

/// Records a failed run, to be repeated at `retry_at` or never; false if it has lost its lease.
pub(super) fn fail(
    conn: &mut PgConnection,
    running: Running,
    retry_at: Option<DateTime<Utc>>,
    error: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let state = if retry_at.is_some() { JobState::Waiting } else { JobState::Dead };
    let changed = diesel::update(leased(running))
        .set((
            jobs::state.eq(state),
            jobs::due_at.eq(retry_at.unwrap_or(now)),
            jobs::last_error.eq(error),
            jobs::last_error_at.eq(now),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

#[auto_type]
fn leased(running: Running) -> _ {
    let (id, attempt): (Uuid, i32) = (running.id, running.attempt);
    let state: JobState = JobState::Running;
    jobs::table.find(id).filter(jobs::state.eq(state)).filter(jobs::attempts.eq(attempt))
}

/// Lists jobs in the order in which they were enqueued.
pub(super) fn list(
    conn: &mut PgConnection,
    state: Option<JobState>,
    after: Option<Uuid>,
    limit: i64,
) -> QueryResult<Vec<JobView>> {
    let mut query = jobs::table.select(JobView::as_select()).order(jobs::id).limit(limit).into_boxed();
    if let Some(state) = state {
        query = query.filter(jobs::state.eq(state));
    }
    if let Some(after) = after {
        query = query.filter(jobs::id.gt(after));
    }
    query.load(conn)
}

/// Makes a job that is not running due at once, with as many attempts as a new one.
///
/// # Errors
/// `NotFound` when there is no such job or it is running.
pub(super) fn retry(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> QueryResult<JobView> {
    let view = diesel::update(jobs::table.find(id).filter(jobs::state.ne(JobState::Running)))
        .set((
            jobs::state.eq(JobState::Waiting),
            jobs::due_at.eq(now),
            // `attempts` is not reset, since it is also the fencing token.
            jobs::max_attempts.eq(jobs::attempts + MAX_ATTEMPTS),
        ))
        .returning(JobView::as_returning())
        .get_result(conn)?;
    notify(conn)?;
    Ok(view)
}

/// Counts jobs by state; states without jobs are left out.
pub fn count(conn: &mut PgConnection) -> QueryResult<Vec<(JobState, i64)>> {
    jobs::table.group_by(jobs::state).select((jobs::state, diesel::dsl::count_star())).load(conn)
}

pub(super) fn exists(conn: &mut PgConnection, id: Uuid) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(jobs::table.find(id))).get_result(conn)
}

/// Advances a schedule to this slot; false if another replica has done so. A stored slot of `ahead` or later was
/// written by a clock that was ahead.
pub(super) fn enter_slot(
    conn: &mut PgConnection,
    name: &str,
    slot: DateTime<Utc>,
    ahead: DateTime<Utc>,
) -> QueryResult<bool> {
    use diesel::query_dsl::methods::FilterDsl;

    let row = (job_schedules::name.eq(name), job_schedules::slot.eq(slot));
    let moved = diesel::insert_into(job_schedules::table)
        .values(row)
        .on_conflict(job_schedules::name)
        .do_update()
        .set(job_schedules::slot.eq(slot))
        .filter(job_schedules::slot.lt(slot).or(job_schedules::slot.ge(ahead)))
        .execute(conn)?;
    Ok(moved == 1)
}

/// Deletes jobs that have been dead since before `limit`; true if there may be more.
pub(super) fn prune(conn: &mut PgConnection, limit: DateTime<Utc>) -> QueryResult<bool> {
    let old = jobs::table
        .filter(jobs::state.eq(JobState::Dead).and(jobs::due_at.lt(limit)))
        .order(jobs::id)
        .limit(BATCH)
        .select(jobs::id);
    let removed =
        diesel::delete(jobs::table.filter(jobs::id.eq_any(old.load::<Uuid>(conn)?))).execute(conn)?;
    Ok(i64::try_from(removed).unwrap_or(i64::MAX) >= BATCH)
}
