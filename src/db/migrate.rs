//! Schema migrations, compiled into the binary.

use anyhow::{Result, anyhow, ensure};
use diesel::{PgConnection, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::WAIT_FOR_LOCK;

pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// An arbitrary number, the same in every replica.
const ADVISORY_LOCK: i64 = 0x006d_696e_7461_6765;

/// Applies pending migrations and returns their names. Replicas that start together take turns.
///
/// # Errors
/// A migration failed; it was rolled back.
pub fn run(conn: &mut PgConnection) -> Result<Vec<String>> {
    locked(conn, |conn| {
        let done = conn.run_pending_migrations(MIGRATIONS).map_err(|error| anyhow!(error))?;
        Ok(done.iter().map(ToString::to_string).collect())
    })
}

/// Reverts the newest `steps` migrations and returns their names.
///
/// # Errors
/// A migration failed to revert, or there is none left.
pub fn rollback(conn: &mut PgConnection, steps: u32) -> Result<Vec<String>> {
    locked(conn, |conn| {
        (0..steps)
            .map(|_| match conn.revert_last_migration(MIGRATIONS) {
                Ok(version) => Ok(version.to_string()),
                Err(error) => Err(anyhow!(error)),
            })
            .collect()
    })
}

/// Checks that no migration is pending; the error says what to do.
pub fn check_current(conn: &mut PgConnection) -> Result<()> {
    let pending = conn.pending_migrations(MIGRATIONS).map_err(|error| anyhow!(error))?.len();
    ensure!(
        pending == 0,
        "{pending} migrations are pending: run `mintage migrate` (or set AUTO_MIGRATE=true)"
    );
    Ok(())
}

/// Works under an advisory lock of the session, which a crash releases. It may be held for long by the migrations of
/// another server. The timeout for tables is shorter, because a waiting `ALTER TABLE` blocks all other statements on
/// the table.
fn locked<T>(conn: &mut PgConnection, work: impl FnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
    conn.batch_execute("SET lock_timeout = '120s'")?;
    sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(ADVISORY_LOCK).execute(conn)?;
    conn.batch_execute("SET lock_timeout = '10s'")?;
    let result = work(conn);
    conn.batch_execute(WAIT_FOR_LOCK)?;
    sql_query("SELECT pg_advisory_unlock($1)").bind::<BigInt, _>(ADVISORY_LOCK).execute(conn)?;
    result
}
