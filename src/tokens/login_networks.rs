//! Stores the networks from which a user has logged in recently. A log-in from one of them has a budget of its own, so
//! wrong passwords from other networks cannot stop it.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Timestamptz},
};
use ipnet::IpNet;

use super::login_devices;
use crate::{
    db::{
        UserId,
        schema::{login_networks, sessions},
    },
    http::Network,
};

const LIFETIME: TimeDelta = TimeDelta::days(30);
const MAX_PER_USER: i64 = 20;
/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// How a network is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The user has logged in with the password from there within 30 days.
    ByLogin,
    /// A session was last refreshed from there, which needs no password.
    BySession,
}

/// Returns how this network of the user is known; None if it is new.
pub fn find(
    conn: &mut PgConnection,
    user: UserId,
    network: Network,
    now: DateTime<Utc>,
) -> QueryResult<Option<Known>> {
    let logged_in = login_networks::table
        .find((user, network.range()))
        .filter(login_networks::last_used_at.gt(now - LIFETIME));
    let refreshed = sessions::table
        .filter(sessions::user_id.eq(user).and(sessions::refresh_expires_at.gt(now)))
        .filter(sessions::address.is_contained_by_or_eq(network.range()));
    let (by_login, by_session) = diesel::select((exists(logged_in), exists(refreshed))).get_result(conn)?;
    Ok(match (by_login, by_session) {
        (true, _) => Some(Known::ByLogin),
        (false, true) => Some(Known::BySession),
        (false, false) => None,
    })
}

/// Stores that the user logged in from this network. Of more than [`MAX_PER_USER`] networks the least recently used are
/// deleted.
///
/// # Errors
/// A foreign key violation if the user was deleted in the meantime.
pub fn remember(
    conn: &mut PgConnection,
    user: UserId,
    network: Network,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::insert_into(login_networks::table)
        .values((
            login_networks::user_id.eq(user),
            login_networks::network.eq(network.range()),
            login_networks::last_used_at.eq(now),
        ))
        .on_conflict((login_networks::user_id, login_networks::network))
        .do_update()
        .set(login_networks::last_used_at.eq(now))
        .execute(conn)?;
    let surplus: Vec<IpNet> = login_networks::table
        .filter(login_networks::user_id.eq(user))
        .order((login_networks::last_used_at.desc(), login_networks::network))
        .offset(MAX_PER_USER)
        .select(login_networks::network)
        .load(conn)?;
    if !surplus.is_empty() {
        let old = login_networks::user_id.eq(user).and(login_networks::network.eq_any(surplus));
        diesel::delete(login_networks::table.filter(old)).execute(conn)?;
    }
    Ok(())
}

/// Deletes all networks and devices of a user, after a new password: a thief of the old one may have logged in from any of them.
pub fn forget_all(conn: &mut PgConnection, user: UserId) -> QueryResult<()> {
    diesel::delete(login_networks::table.filter(login_networks::user_id.eq(user))).execute(conn)?;
    login_devices::forget_all(conn, user)
}

/// Deletes at most [`BATCH`] networks that were not used for 30 days. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let count = sql_query(
        "DELETE FROM login_networks WHERE (user_id, network) IN ( \
             SELECT user_id, network FROM login_networks WHERE last_used_at < $1 \
             LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(now - LIFETIME)
    .bind::<BigInt, _>(BATCH)
    .execute(conn)?;
    Ok(count >= usize::try_from(BATCH).expect("small"))
}
