//! How a connection is opened: with bounds on the server's side as well.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, ConnectionResult, PgConnection, QueryResult, connection::SimpleConnection,
    r2d2::Error as R2d2Error,
};

use crate::config::{Database, Secret};

/// `lc_messages` needs a privilege that a managed database may not give: asked for, not required.
const BOUNDS: &str = "\
    SET statement_timeout = '2500ms'; \
    SET lock_timeout = '2000ms'; \
    SET idle_in_transaction_session_timeout = '5s'; \
    SET timezone = 'UTC'; \
    DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;";

pub(super) fn prepare(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute(BOUNDS)
}

/// The pool retries in the background; why it fails belongs in the log.
#[derive(Debug, Default)]
pub(super) struct LogErrors {
    quiet_until: Mutex<Option<Instant>>,
}

impl r2d2::HandleError<R2d2Error> for LogErrors {
    fn handle_error(&self, error: R2d2Error) {
        let mut quiet_until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        if quiet_until.is_none_or(|until| until < Instant::now()) {
            *quiet_until = Some(Instant::now() + Duration::from_secs(5));
            tracing::warn!(error = one_line(&error.to_string()), "cannot connect to PostgreSQL");
        }
    }
}

/// Bounds that libpq does not set by itself: without them a network that swallows packets
/// holds a connection for as long as the kernel retransmits, about 15 minutes.
const CLIENT_BOUNDS: [(&str, &str); 5] = [
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "10000"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
];

/// Adds the bounds that the URL does not set itself.
pub(super) fn bounded_url(url: &str) -> String {
    let mut bounded = url.to_owned();
    for (name, value) in CLIENT_BOUNDS.iter().filter(|(name, _)| !url.contains(name)) {
        bounded.push(if bounded.contains('?') { '&' } else { '?' });
        bounded.extend([name, "=", value]);
    }
    bounded
}

/// How long libpq waits for a connection to this URL, where each of its addresses has as long.
pub(super) fn connect_timeout(url: &str) -> Duration {
    let own = url.split_once("connect_timeout=").map(|(_, rest)| rest.split('&').next().unwrap_or(rest));
    match own.and_then(|seconds| seconds.parse().ok()) {
        // Without a bound the kernel gives up after about two minutes.
        Some(0) => Duration::from_mins(2),
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_secs(5),
    }
}

/// A connection outside the pool, without statement bounds: migrations, LISTEN, the command line.
///
/// # Errors
/// PostgreSQL cannot be reached.
pub fn connect(url: &Secret) -> ConnectionResult<PgConnection> {
    PgConnection::establish(&bounded_url(url.expose()))
}

/// As [`connect`], trying again for as long as the settings allow: after a power cut or in a
/// compose file the server is often up before its database.
///
/// # Errors
/// PostgreSQL could not be reached in that time; the text is one line.
pub fn connect_patiently(url: &Secret, settings: &Database) -> anyhow::Result<PgConnection> {
    let give_up_at = Instant::now() + settings.connect_wait;
    let mut pause = Duration::from_millis(100);
    loop {
        let error = match connect(url) {
            Ok(conn) => return Ok(conn),
            Err(error) => one_line(&error.to_string()),
        };
        if Instant::now() + pause >= give_up_at {
            anyhow::bail!("cannot connect to PostgreSQL: {error}");
        }
        tracing::warn!(error, "cannot connect to PostgreSQL, trying again");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{bounded_url, connect_timeout};

    #[test]
    fn bounds_are_added_unless_the_operator_set_them() {
        let added = bounded_url("postgres://h/db");
        assert!(added.starts_with("postgres://h/db?connect_timeout=5&tcp_user_timeout="), "{added}");
        assert!(bounded_url("postgres://h/db?sslmode=require").contains("require&connect_timeout=5&"));
        let own = bounded_url("postgres://h/db?connect_timeout=60");
        assert!(own.contains("connect_timeout=60&tcp_user_timeout") && !own.contains("connect_timeout=5"));
    }

    #[test]
    fn the_timeout_is_ours_unless_the_operator_set_another() {
        let of = |url: &str| connect_timeout(url).as_secs();
        assert_eq!((of("postgres://h/db"), of(&bounded_url("postgres://h/db?sslmode=require"))), (5, 5));
        assert_eq!(of("postgres://h/db?connect_timeout=60&sslmode=require"), 60);
        assert_eq!(
            (of("postgres://h/db?connect_timeout=0"), of("postgres://h/db?connect_timeout=x")),
            (120, 5)
        );
    }
}
