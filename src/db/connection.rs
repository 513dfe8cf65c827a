//! Opens connections, with time limits on both sides.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, ConnectionError, ConnectionResult, PgConnection, RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    select,
    sql_types::{Bool, Integer},
};

use super::refusal::{Refusal, one_line};
use crate::config::{Database, Secret};

/// Shorter than the budget of a request, so that PostgreSQL reports the reason before the request gives up.
/// `lc_messages` needs a privilege that a managed database may not grant, so it may fail.
const SERVER_LIMITS: &str = "\
    SET statement_timeout = '1800ms'; \
    SET lock_timeout = '400ms'; \
    SET idle_in_transaction_session_timeout = '5s'; \
    SET timezone = 'UTC'; \
    DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;";

/// Opens a connection of the pool, with time limits in PostgreSQL.
pub(super) fn open_bounded(pooled_url: &str) -> Result<PgConnection, Refusal> {
    let mut conn = establish(pooled_url)?;
    conn.batch_execute(SERVER_LIMITS)
        .map_err(|error| Refusal { text: one_line(&error.to_string()), is_final: false })?;
    Ok(conn)
}

/// Limits that libpq does not set itself: without them a network that drops packets blocks a connection for as long
/// as the kernel retransmits, about 15 minutes.
const CLIENT_LIMITS: [(&str, &str); 5] = [
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "10000"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
];

/// Adds the limits that the URL does not set itself.
pub(super) fn bounded_url(url: &str) -> String {
    let mut bounded = url.to_owned();
    for (name, value) in CLIENT_LIMITS.iter().filter(|(name, _)| !url.contains(name)) {
        bounded.push(if bounded.contains('?') { '&' } else { '?' });
        bounded.extend([name, "=", value]);
    }
    bounded
}

/// As [`bounded_url`], with a timeout of 2 s for connecting, the minimum of libpq, which uses the last of duplicate
/// parameters.
pub(super) fn pooled_url(url: &str) -> String {
    bounded_url(url) + "&connect_timeout=2"
}

/// How long libpq tries to connect to each address of this URL.
pub(super) fn connect_timeout(url: &str) -> Duration {
    let own = url.split_once("connect_timeout=").map(|(_, rest)| rest.split('&').next().unwrap_or(rest));
    match own.and_then(|seconds| seconds.parse().ok()) {
        // Without a timeout the kernel gives up after about two minutes.
        Some(0) => Duration::from_mins(2),
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_secs(5),
    }
}

/// Opens a connection outside the pool, without limits on statements: for migrations, LISTEN and the command line.
///
/// # Errors
/// PostgreSQL cannot be reached; the text is one line without any part of the URL.
pub fn connect(url: &Secret) -> ConnectionResult<PgConnection> {
    open(&bounded_url(url.expose()))
}

/// Opens a connection. Errors have the text of [`Refusal`] instead of libpq's, which repeats parts of the URL.
pub(super) fn open(bounded_url: &str) -> ConnectionResult<PgConnection> {
    establish(bounded_url).map_err(|refusal| ConnectionError::BadConnection(refusal.text))
}

fn establish(url: &str) -> Result<PgConnection, Refusal> {
    PgConnection::establish(url).map_err(|error| Refusal::of(&error))
}

/// How long a start or a command waits for a lock by default.
pub(super) const WAIT_FOR_LOCK: &str = "SET lock_timeout = '5s'";
/// Temporary: a failover ends it.
const READ_ONLY: &str = "PostgreSQL is read-only, as a standby is: with several hosts in DATABASE_URL, \
                         target_session_attrs=read-write finds the primary";
/// `server_version_num` of PostgreSQL 13, the first with `gen_random_uuid()` without an extension.
const MIN_VERSION: i32 = 130_000;

/// As [`connect`], for a start or a command: retries for `DATABASE_CONNECT_WAIT`, since after a power failure or in
/// a compose file the server is often up before its database. An error that waiting cannot solve, such as a wrong
/// password, is returned at once.
///
/// A missing database is such an error too: the official images create it before they listen on the network.
///
/// # Errors
/// PostgreSQL was not reachable in that time, refuses the settings or is too old. The text is one line without any
/// part of the URL.
pub fn connect_patiently(url: &Secret, settings: &Database) -> anyhow::Result<PgConnection> {
    let bounded = bounded_url(url.expose());
    let give_up_at = Instant::now() + settings.connect_wait;
    let mut pause = Duration::from_millis(100);
    loop {
        let refusal = match establish(&bounded) {
            Ok(mut conn) => {
                conn.batch_execute(WAIT_FOR_LOCK)?;
                let version = select(sql::<Integer>("current_setting('server_version_num')::integer"));
                check_version(version.get_result(&mut conn)?)?;
                let is_read_only = select(sql::<Bool>("current_setting('transaction_read_only')::boolean"));
                if !is_read_only.get_result::<bool>(&mut conn)? {
                    return Ok(conn);
                }
                Refusal { text: READ_ONLY.into(), is_final: false }
            }
            Err(refusal) => refusal,
        };
        if refusal.is_final || Instant::now() + pause >= give_up_at {
            anyhow::bail!("cannot connect to PostgreSQL: {}", refusal.text);
        }
        tracing::warn!(error = refusal.text, "cannot connect to PostgreSQL, trying again");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

fn check_version(number: i32) -> anyhow::Result<()> {
    anyhow::ensure!(
        number >= MIN_VERSION,
        "PostgreSQL {}.{} is too old: Mintage needs version {} or later",
        number / 10_000,
        number % 10_000 / if number < 100_000 { 100 } else { 1 },
        MIN_VERSION / 10_000
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{bounded_url, check_version, connect_timeout};

    #[test]
    fn versions_before_13_are_refused() {
        for accepted in [130_000, 130_023, 150_018, 190_000] {
            assert!(check_version(accepted).is_ok(), "{accepted}");
        }
        for (number, name) in [(120_022, "PostgreSQL 12.22 "), (90_624, "PostgreSQL 9.6 ")] {
            let error = check_version(number).expect_err("too old").to_string();
            assert!(error.starts_with(name) && error.contains("version 13 or later"), "{error}");
        }
    }

    #[test]
    fn limits_are_added_unless_the_url_sets_them() {
        let added = bounded_url("postgres://h/db");
        assert!(added.starts_with("postgres://h/db?connect_timeout=5&tcp_user_timeout="), "{added}");
        assert!(bounded_url("postgres://h/db?sslmode=require").contains("require&connect_timeout=5&"));
        let own = bounded_url("postgres://h/db?connect_timeout=60");
        assert!(own.contains("connect_timeout=60&tcp_user_timeout") && !own.contains("connect_timeout=5"));
    }

    #[test]
    fn the_connect_timeout_is_5_seconds_unless_the_url_sets_another() {
        let of = |url: &str| connect_timeout(url).as_secs();
        assert_eq!((of("postgres://h/db"), of(&bounded_url("postgres://h/db?sslmode=require"))), (5, 5));
        assert_eq!(of("postgres://h/db?connect_timeout=60&sslmode=require"), 60);
        assert_eq!(
            (of("postgres://h/db?connect_timeout=0"), of("postgres://h/db?connect_timeout=x")),
            (120, 5)
        );
    }
}
