//! Stores alerts and finds those that a snapshot crosses.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Double, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    ending::MAX_ENDED,
    mail::{Basis, CoinAlertsMail, Crossing},
    metric::{AlertMetric, Direction},
    model::Alert,
};
use crate::{
    db::{CoinId, SnapshotId, UserId, schema::alerts},
    jobs, market,
    sentiment::Interval,
    users,
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

/// Creates an alert. Needs a transaction, in which the user's row is locked, so that concurrent requests stay within the
/// limit.
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

/// Deletes these alerts, of any user.
pub fn end(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<usize> {
    diesel::delete(alerts::table.filter(alerts::id.eq_any(ids))).execute(conn)
}

/// Selects each alert of a coin of the snapshot `$1`, and each of a portfolio, with the current value of its number, which
/// may be null. A social figure is that of the slot, or null; `coin_social` has changed in the same transaction. A portfolio
/// has a value if each coin that is held has a price. `reached` and `left_at` are the value to compare for a crossing and
/// for going back: with fewer than `$2` posts the ends of the confidence interval.
const FOUND: &str = "\
    WITH held AS MATERIALIZED ( \
        SELECT user_id, coin_id, sum(CASE kind WHEN 'buy' THEN amount ELSE -amount END)::float8 AS amount \
        FROM portfolio_transactions \
        WHERE user_id IN (SELECT user_id FROM alerts WHERE metric = 'portfolio_value') GROUP BY 1, 2), \
    current AS ( \
        SELECT a.id, a.direction, CASE a.metric WHEN 'price' THEN q.price * r.rate \
            WHEN 'volume_24h' THEN q.volume_24h * r.rate \
            WHEN 'sentiment' THEN q.sentiment WHEN 'popularity' THEN q.popularity \
            ELSE CASE change.of_rate WHEN 0 THEN change.of_coin \
                ELSE ((1 + change.of_coin / 100) * (1 + change.of_rate / 100) - 1) * 100 END END AS value, \
        CASE WHEN a.metric IN ('sentiment', 'popularity') THEN s.social END AS social, \
        CASE a.metric WHEN 'sentiment' THEN s.social -> 'interval' \
            WHEN 'popularity' THEN s.social -> 'popularity_interval' END AS interval \
        FROM alerts a JOIN coin_quotes q ON q.snapshot_id = $1 AND q.coin_id = a.coin_id \
        LEFT JOIN snapshot_rates r ON r.snapshot_id = $1 AND r.currency = a.currency \
        LEFT JOIN coin_social s ON s.coin_id = a.coin_id \
        CROSS JOIN LATERAL (SELECT \
            CASE a.metric WHEN 'percent_change_1h' THEN q.percent_change_1h \
                WHEN 'percent_change_24h' THEN q.percent_change_24h \
                WHEN 'percent_change_7d' THEN q.percent_change_7d END AS of_coin, \
            CASE a.metric WHEN 'percent_change_1h' THEN r.percent_change_1h \
                WHEN 'percent_change_24h' THEN r.percent_change_24h \
                WHEN 'percent_change_7d' THEN r.percent_change_7d END AS of_rate) change \
        UNION ALL \
        SELECT a.id, a.direction, \
            CASE WHEN bool_and(q.price * r.rate IS NOT NULL) THEN sum(h.amount * q.price * r.rate) END, NULL, NULL \
        FROM alerts a JOIN held h ON h.user_id = a.user_id AND h.amount > 0 \
        LEFT JOIN coin_quotes q ON q.snapshot_id = $1 AND q.coin_id = h.coin_id \
        LEFT JOIN snapshot_rates r ON r.snapshot_id = $1 AND r.currency = a.currency \
        WHERE a.metric = 'portfolio_value' GROUP BY a.id), \
    measured AS ( \
        SELECT id, value, CASE direction WHEN 'above' THEN 1 ELSE -1 END AS sign, social -> 'sources' AS sources, \
            (social ->> 'sample_size')::bigint AS posts, \
            (interval ->> 'low')::float8 AS low, (interval ->> 'high')::float8 AS high FROM current), \
    found AS MATERIALIZED ( \
        SELECT *, CASE WHEN value IS NULL OR posts IS NULL OR posts >= $2 THEN value \
            WHEN sign > 0 THEN low ELSE high END AS reached, \
        CASE WHEN value IS NULL OR posts IS NULL OR posts >= $2 THEN value \
            WHEN sign > 0 THEN high ELSE low END AS left_at FROM measured)";

#[derive(QueryableByName)]
struct Crossed {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    coin_id: Option<CoinId>,
    #[diesel(sql_type = Text)]
    metric: AlertMetric,
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
    #[diesel(sql_type = Nullable<BigInt>)]
    posts: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    low: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    high: Option<f64>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    sources: Option<serde_json::Value>,
}

/// Arms and disarms alerts by the values of a snapshot, and enqueues one mail for each user, or more if a link could not end
/// so many alerts. Must run in the transaction
/// that publishes the snapshot.
pub fn evaluate(
    conn: &mut PgConnection,
    snapshot_id: SnapshotId,
    min_posts: u32,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    sql_query(format!(
        "{FOUND} UPDATE alerts a SET armed = true FROM found \
         WHERE found.id = a.id AND NOT a.armed AND sign * (left_at - a.threshold) <= -a.hysteresis"
    ))
    .bind::<BigInt, _>(snapshot_id)
    .bind::<BigInt, _>(i64::from(min_posts))
    .execute(conn)?;
    let crossed: Vec<Crossed> = sql_query(format!(
        "{FOUND}, crossed AS ( \
             SELECT a.id, found.value, posts, low, high, sources FROM found JOIN alerts a USING (id) \
             WHERE a.armed AND sign * (reached - a.threshold) >= 0 ORDER BY a.id LIMIT $4 FOR UPDATE OF a) \
         UPDATE alerts a SET armed = false, crossed_at = $3 FROM crossed WHERE crossed.id = a.id \
         RETURNING a.user_id, a.id, a.coin_id, a.metric, a.currency, a.direction, a.threshold, crossed.value, a.once, \
             posts, low, high, sources"
    ))
    .bind::<BigInt, _>(snapshot_id)
    .bind::<BigInt, _>(i64::from(min_posts))
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(MAX_CROSSINGS)
    .load(conn)?;
    let done: Vec<Uuid> = crossed.iter().filter(|one| one.once).map(|one| one.id).collect();
    end(conn, &done)?;
    if crossed.is_empty() {
        return Ok(());
    }
    let (at, simulated) = (market::time_of(conn, snapshot_id)?, market::is_simulated(conn)?);
    for (user, crossings) in by_user(crossed) {
        let mut crossings = crossings.into_iter().peekable();
        while crossings.peek().is_some() {
            let crossings = crossings.by_ref().take(MAX_ENDED).collect();
            jobs::enqueue(conn, &CoinAlertsMail { user, at, simulated, crossings }, now)?;
        }
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
    for one in crossed {
        let sources =
            one.sources.and_then(|sources| serde_json::from_value(sources).ok()).unwrap_or_default();
        let interval = one.low.zip(one.high).map(|(low, high)| Interval { low, high });
        let crossing = Crossing {
            alert: Some(one.id),
            coin: one.coin_id,
            metric: one.metric,
            currency: one.currency,
            direction: one.direction,
            threshold: one.threshold,
            value: one.value,
            once: one.once,
            basis: one.posts.map(|posts| Basis { posts, interval, sources }),
        };
        users.entry(one.user_id).or_default().push(crossing);
    }
    users
}
