//! Decides which replica runs which slot. At most one slot runs at a time (`sync_slots_running_idx`), under a lease
//! that its holder renews, with a fencing number that a late holder no longer has.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Integer, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    db::{constraint_violated, schema::sync_slots},
    upstream::MAX_WAIT,
};

/// A lease that ends this much later than a new one comes from a wrong clock.
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);
const ONE_RUNS: &str = "sync_slots_running_idx";

/// The right to run one slot, for as long as the lease lasts.
#[derive(Clone, Debug, QueryableByName)]
pub struct Claim {
    #[diesel(sql_type = Timestamptz)]
    slot: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    holder: Uuid,
    #[diesel(sql_type = Integer)]
    attempt: i32,
}

/// Claims the scheduled slot or, if that is finished or not due, a requested one. Returns None if none is due or
/// another slot runs.
pub fn claim(
    conn: &mut PgConnection,
    scheduled: DateTime<Utc>,
    holder: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> QueryResult<Option<Claim>> {
    let claimed = conn.transaction(|conn| {
        let over =
            sync_slots::lease_until.lt(now).or(sync_slots::lease_until.gt(lease_until + MAX_CLOCK_SKEW));
        let expired = sync_slots::running.and(over);
        diesel::update(sync_slots::table.filter(expired)).set(sync_slots::running.eq(false)).execute(conn)?;
        let requested: Option<DateTime<Utc>> = sync_slots::table
            .filter(sync_slots::requested.and(sync_slots::finished_at.is_null()))
            .filter(sync_slots::slot.ge(scheduled))
            .select(sync_slots::slot)
            .order(sync_slots::slot)
            .first(conn)
            .optional()?;
        for slot in [scheduled].into_iter().chain(requested) {
            let claim = claim_one(conn, slot, holder, now, lease_until)?;
            if claim.is_some() {
                return Ok(claim);
            }
        }
        Ok(None)
    });
    match claimed {
        // Another replica was faster.
        Err(error) if constraint_violated(&error) == Some(ONE_RUNS) => Ok(None),
        claimed => claimed,
    }
}

fn claim_one(
    conn: &mut PgConnection,
    slot: DateTime<Utc>,
    holder: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> QueryResult<Option<Claim>> {
    sql_query(
        "INSERT INTO sync_slots AS s (slot, holder, lease_until, running) \
         SELECT $1, $2, $4, true WHERE NOT EXISTS (SELECT FROM sync_slots WHERE running) \
         ON CONFLICT (slot) DO UPDATE \
         SET holder = $2, lease_until = $4, running = true, attempt = s.attempt + 1 \
         WHERE s.finished_at IS NULL AND NOT s.running AND (s.lease_until <= $3 OR s.lease_until > $5) \
         RETURNING slot, holder, attempt",
    )
    .bind::<Timestamptz, _>(slot)
    .bind::<SqlUuid, _>(holder)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease_until)
    .bind::<Timestamptz, _>(now + MAX_WAIT)
    .get_result(conn)
    .optional()
}

/// Requests a run as soon as no slot is running. Pending requests are merged; the next scheduled slot fulfils them as
/// well ([`finish`]).
pub fn request(
    conn: &mut PgConnection,
    scheduled: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<DateTime<Utc>> {
    let waiting = sync_slots::requested.and(sync_slots::attempt.eq(0)).and(sync_slots::slot.ge(scheduled));
    let first = sync_slots::table.filter(waiting).select(diesel::dsl::min(sync_slots::slot));
    if let Some(slot) = first.first::<Option<DateTime<Utc>>>(conn)? {
        return Ok(slot);
    }
    diesel::insert_into(sync_slots::table)
        .values((
            sync_slots::slot.eq(now),
            sync_slots::holder.eq(Uuid::nil()),
            sync_slots::lease_until.eq(now),
            sync_slots::attempt.eq(0),
            sync_slots::requested.eq(true),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(now)
}

/// Extends the lease; false if it expired and another replica has claimed the slot.
pub fn renew(conn: &mut PgConnection, claim: &Claim, until: DateTime<Utc>) -> QueryResult<bool> {
    let values = sync_slots::lease_until.eq(until);
    Ok(diesel::update(held(claim)).set(values).execute(conn)? == 1)
}

/// Marks the slot and all earlier requests as finished; false as for [`renew`].
pub fn finish(
    conn: &mut PgConnection,
    claim: &Claim,
    provider: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let values = (
        sync_slots::finished_at.eq(now),
        sync_slots::lease_until.eq(now),
        sync_slots::running.eq(false),
        sync_slots::provider.eq(provider),
    );
    if diesel::update(held(claim)).set(values).execute(conn)? == 0 {
        return Ok(false);
    }
    let fulfilled = sync_slots::requested.and(sync_slots::finished_at.is_null());
    diesel::update(sync_slots::table.filter(fulfilled.and(sync_slots::slot.lt(claim.slot))))
        .set(values)
        .execute(conn)?;
    Ok(true)
}

/// Releases the slot; it is due again at `until`. False as for [`renew`].
pub fn postpone(conn: &mut PgConnection, claim: &Claim, until: DateTime<Utc>) -> QueryResult<bool> {
    let values = (sync_slots::lease_until.eq(until), sync_slots::running.eq(false));
    Ok(diesel::update(held(claim)).set(values).execute(conn)? == 1)
}

/// Makes postponed slots due now.
pub fn make_due(conn: &mut PgConnection) -> QueryResult<()> {
    let waiting = sync_slots::finished_at.is_null().and(diesel::dsl::not(sync_slots::running));
    diesel::update(sync_slots::table.filter(waiting))
        .set(sync_slots::lease_until.eq(DateTime::UNIX_EPOCH))
        .execute(conn)?;
    Ok(())
}

/// Releases the slots that this process holds.
pub fn release(conn: &mut PgConnection, holder: Uuid, now: DateTime<Utc>) -> QueryResult<()> {
    let ours = sync_slots::running.and(sync_slots::holder.eq(holder));
    diesel::update(sync_slots::table.filter(ours))
        .set((sync_slots::lease_until.eq(now), sync_slots::running.eq(false)))
        .execute(conn)?;
    Ok(())
}

type Held = diesel::dsl::Filter<
    diesel::dsl::Filter<
        diesel::dsl::Filter<
            diesel::dsl::Find<sync_slots::table, DateTime<Utc>>,
            diesel::dsl::Eq<sync_slots::holder, Uuid>,
        >,
        diesel::dsl::Eq<sync_slots::attempt, i32>,
    >,
    sync_slots::running,
>;

fn held(claim: &Claim) -> Held {
    sync_slots::table
        .find(claim.slot)
        .filter(sync_slots::holder.eq(claim.holder))
        .filter(sync_slots::attempt.eq(claim.attempt))
        .filter(sync_slots::running)
}

/// A slot, as shown to admins.
#[derive(Queryable, Selectable)]
#[diesel(table_name = sync_slots)]
pub struct SlotRow {
    pub slot: DateTime<Utc>,
    pub lease_until: DateTime<Utc>,
    pub attempt: i32,
    pub finished_at: Option<DateTime<Utc>>,
    pub running: bool,
    pub requested: bool,
    pub provider: Option<String>,
}

/// Returns the newest slots, the newest first.
pub fn last_slots(conn: &mut PgConnection, count: i64) -> QueryResult<Vec<SlotRow>> {
    sync_slots::table.order(sync_slots::slot.desc()).limit(count).select(SlotRow::as_select()).load(conn)
}
