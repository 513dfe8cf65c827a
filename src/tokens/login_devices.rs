//! Stores from where, and with which program, a user has logged in, so that a log-in from elsewhere can be mailed.
//!
//! A device is known by its network and its program together. The program alone would not do: a thief chooses the
//! `User-Agent`.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Timestamptz, Uuid as SqlUuid},
};

use super::client::Client;
use crate::db::{UserId, schema::login_devices};

/// The least recently used ones beyond it are deleted.
const MAX_PER_USER: i64 = 50;
/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;
/// The program of a log-in before programs were stored: any.
const ANY: &str = "";

/// Stores that the user logged in with this client. Returns whether it was known.
///
/// # Errors
/// A foreign key violation if the user was deleted in the meantime.
pub fn remember(
    conn: &mut PgConnection,
    user: UserId,
    client: &Client,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let (network, program) = (client.network().range(), client.device());
    let of_user = login_devices::user_id.eq(user).and(login_devices::network.eq(network));
    let same =
        login_devices::table.filter(of_user.and(login_devices::program.eq_any([program.as_str(), ANY])));
    let is_known: bool = diesel::select(diesel::dsl::exists(same)).get_result(conn)?;
    diesel::insert_into(login_devices::table)
        .values((
            login_devices::user_id.eq(user),
            login_devices::network.eq(network),
            login_devices::program.eq(program.as_str()),
            login_devices::last_used_at.eq(now),
        ))
        .on_conflict((login_devices::user_id, login_devices::network, login_devices::program))
        .do_update()
        .set(login_devices::last_used_at.eq(now))
        .execute(conn)?;
    if !is_known {
        delete_surplus(conn, user)?;
    }
    Ok(is_known)
}

fn delete_surplus(conn: &mut PgConnection, user: UserId) -> QueryResult<()> {
    sql_query(
        "DELETE FROM login_devices WHERE (user_id, network, program) IN ( \
             SELECT user_id, network, program FROM login_devices WHERE user_id = $1 \
             ORDER BY last_used_at DESC, network, program OFFSET $2)",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(MAX_PER_USER)
    .execute(conn)?;
    Ok(())
}

/// Deletes all devices of a user, after a new password: a thief of the old one may have logged in with any of them.
pub(super) fn forget_all(conn: &mut PgConnection, user: UserId) -> QueryResult<()> {
    diesel::delete(login_devices::table.filter(login_devices::user_id.eq(user))).execute(conn)?;
    Ok(())
}

/// Deletes at most [`BATCH`] devices that were not used for `retention`. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>, retention: TimeDelta) -> QueryResult<bool> {
    let count = sql_query(
        "DELETE FROM login_devices WHERE (user_id, network, program) IN ( \
             SELECT user_id, network, program FROM login_devices WHERE last_used_at < $1 \
             LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(now - retention)
    .bind::<BigInt, _>(BATCH)
    .execute(conn)?;
    Ok(count >= usize::try_from(BATCH).expect("small"))
}
