//! Stores alerts and finds those that a snapshot crosses.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    super::history::Metric,
    mail::{CoinAlertsMail, Crossing},
    model::{Alert, Direction},
};
use crate::{
    db::{CoinId, SnapshotId, UserId, schema::alerts},
    jobs, market, users,
};

/// Per user.
pub const MAX_ALERTS: i64 = 50;
/// Per snapshot; further alerts cross with the next one.
const MAX_CROSSINGS: i64 = 1000;

/// The outcome of [`create`].
pub enum Created {
    Yes(Alert),
    Full,
    /// The account is gone.
    NoUser,
}

/// Creates an alert. Needs a transaction, in which the user's row is locked, so that concurrent requests stay within the limit.
pub fn create(conn: &mut PgConnection, user: UserId, alert: Alert) -> QueryResult<Created> {
    if users::lock_for_counting(conn, user)?.is_none() {
        return Ok(Created::NoUser);
    }
    let count: i64 = alerts::table.filter(alerts::user_id.eq(user)).count().get_result(conn)?;
    if count >= MAX_ALERTS {
        return Ok(Created::Full);
    }
    diesel::insert_into(alerts::table).values((alerts::user_id.eq(user), &alert)).execute(conn)?;
    Ok(Created::Yes(alert))
}

pub fn list(conn: &mut PgConnection, user: UserId) -> QueryResult<Vec<Alert>> {
    alerts::table
        .filter(alerts::user_id.eq(user))
        .order(alerts::id)
        .select(Alert::as_select())
        .limit(MAX_ALERTS)
        .load(conn)
}

pub fn read(conn: &mut PgConnection, user: UserId, id: Uuid) -> QueryResult<Alert> {
    alerts::table.find(id).filter(alerts::user_id.eq(user)).select(Alert::as_select()).first(conn)
}

/// Deletes an alert; false if the user has no such alert.
pub fn delete(conn: &mut PgConnection, user: UserId, id: Uuid) -> QueryResult<bool> {
    let own = alerts::table.find(id).filter(alerts::user_id.eq(user));
    Ok(diesel::delete(own).execute(conn)? == 1)
}

/// Selects each alert of a coin of the snapshot `$1` with the current value of its number, which may be null.
const FOUND: &str = "\
    WITH found AS MATERIALIZED ( \
        SELECT a.id, a.armed, CASE a.metric WHEN 'price' THEN q.price * r.rate \
            WHEN 'sentiment' THEN q.sentiment ELSE q.popularity END AS value, \
        CASE a.direction WHEN 'above' THEN 1 ELSE -1 END AS sign \
        FROM alerts a JOIN coin_quotes q ON q.snapshot_id = $1 AND q.coin_id = a.coin_id \
        LEFT JOIN snapshot_rates r ON r.snapshot_id = $1 AND r.currency = a.currency)";

#[derive(QueryableByName)]
struct Crossed {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    coin_id: CoinId,
    #[diesel(sql_type = Text)]
    metric: Metric,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Text)]
    direction: Direction,
    #[diesel(sql_type = Double)]
    threshold: f64,
    #[diesel(sql_type = Double)]
    value: f64,
    #[diesel(sql_type = Bool)]
    once: bool,
}

/// Arms and disarms alerts by the values of a snapshot, and enqueues one mail for each user. Must run in the transaction
/// that publishes the snapshot.
pub fn evaluate(conn: &mut PgConnection, snapshot_id: SnapshotId, now: DateTime<Utc>) -> QueryResult<()> {
    sql_query(format!(
        "{FOUND} UPDATE alerts a SET armed = true FROM found \
         WHERE found.id = a.id AND NOT a.armed AND sign * (value - a.threshold) <= -a.hysteresis"
    ))
    .bind::<BigInt, _>(snapshot_id)
    .execute(conn)?;
    let crossed: Vec<Crossed> = sql_query(format!(
        "{FOUND}, crossed AS ( \
             SELECT a.id, found.value FROM found JOIN alerts a USING (id) \
             WHERE a.armed AND sign * (value - a.threshold) >= 0 ORDER BY a.id LIMIT $3 FOR UPDATE OF a) \
         UPDATE alerts a SET armed = false, crossed_at = $2 FROM crossed WHERE crossed.id = a.id \
         RETURNING a.user_id, a.id, a.coin_id, a.metric, a.currency, a.direction, a.threshold, crossed.value, a.once"
    ))
    .bind::<BigInt, _>(snapshot_id)
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(MAX_CROSSINGS)
    .load(conn)?;
    let done: Vec<Uuid> = crossed.iter().filter(|one| one.once).map(|one| one.id).collect();
    diesel::delete(alerts::table.filter(alerts::id.eq_any(done))).execute(conn)?;
    if crossed.is_empty() {
        return Ok(());
    }
    let (at, simulated) = (market::time_of(conn, snapshot_id)?, market::is_simulated(conn)?);
    for (user, crossings) in by_user(crossed) {
        jobs::enqueue(conn, &CoinAlertsMail { user, at, simulated, crossings }, now)?;
    }
    Ok(())
}

/// Disarms every alert; the numbers of the next snapshots arm them again.
pub fn disarm_all(conn: &mut PgConnection) -> QueryResult<()> {
    diesel::update(alerts::table.filter(alerts::armed)).set(alerts::armed.eq(false)).execute(conn)?;
    Ok(())
}

/// Groups crossings by user, each user's in the order in which the alerts were created.
fn by_user(mut crossed: Vec<Crossed>) -> BTreeMap<UserId, Vec<Crossing>> {
    // UUIDv7 sort by their time.
    crossed.sort_by_key(|one| one.id);
    let mut users = BTreeMap::<_, Vec<_>>::new();
    for Crossed { user_id, coin_id, metric, currency, direction, threshold, value, once, .. } in crossed {
        let crossing = Crossing { coin: coin_id, metric, currency, direction, threshold, value, once };
        users.entry(user_id).or_default().push(crossing);
    }
    users
}
