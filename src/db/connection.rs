//! How a connection is opened: with bounds on the server's side as well.

use std::{
    borrow::Cow,
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, ConnectionResult, PgConnection,
    connection::SimpleConnection,
    r2d2::{CustomizeConnection, Error as R2d2Error},
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

#[derive(Debug)]
pub(super) struct Prepare;

impl CustomizeConnection<PgConnection, R2d2Error> for Prepare {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), R2d2Error> {
        conn.batch_execute(BOUNDS).map_err(R2d2Error::QueryError)
    }
}

/// The pool retries in the background; why it fails belongs in the log.
#[derive(Debug)]
pub(super) struct LogErrors;

impl r2d2::HandleError<R2d2Error> for LogErrors {
    fn handle_error(&self, error: R2d2Error) {
        tracing::warn!(error = one_line(&error.to_string()), "cannot connect to PostgreSQL");
    }
}

/// libpq waits without limit for a connection unless told otherwise.
pub(super) fn bounded_url(url: &str) -> Cow<'_, str> {
    if url.contains("connect_timeout") {
        return url.into();
    }
    let is_uri = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let separator = match (is_uri, url.contains('?')) {
        (true, true) => '&',
        (true, false) => '?',
        (false, _) => ' ',
    };
    format!("{url}{separator}connect_timeout=5").into()
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
