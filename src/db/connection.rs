//! How a connection is opened: with bounds on the server's side as well.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection, ConnectionError, ConnectionResult, PgConnection, connection::SimpleConnection};

use crate::config::{Database, Secret};

/// Below the budget of a request, so that PostgreSQL says why before the request gives up. `lc_messages` needs
/// a privilege that a managed database may not give: asked for, not required.
const BOUNDS: &str = "\
    SET statement_timeout = '1800ms'; \
    SET lock_timeout = '400ms'; \
    SET idle_in_transaction_session_timeout = '5s'; \
    SET timezone = 'UTC'; \
    DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;";

/// A connection of the pool, with bounds on PostgreSQL's side.
pub(super) fn open_bounded(pooled_url: &str) -> ConnectionResult<PgConnection> {
    let mut conn = PgConnection::establish(pooled_url)?;
    conn.batch_execute(BOUNDS).map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
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

/// As [`bounded_url`], and gives up opening one after 2 s, the least that libpq knows: of a parameter that is
/// there twice libpq takes the last.
pub(super) fn pooled_url(url: &str) -> String {
    bounded_url(url) + "&connect_timeout=2"
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

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::bounded_url;

    #[test]
    fn bounds_are_added_unless_the_operator_set_them() {
        let added = bounded_url("postgres://h/db");
        assert!(added.starts_with("postgres://h/db?connect_timeout=5&tcp_user_timeout="), "{added}");
        assert!(bounded_url("postgres://h/db?sslmode=require").contains("require&connect_timeout=5&"));
        let own = bounded_url("postgres://h/db?connect_timeout=60");
        assert!(own.contains("connect_timeout=60&tcp_user_timeout") && !own.contains("connect_timeout=5"));
    }
}
