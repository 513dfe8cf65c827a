//! Schema migrations, compiled into the binary.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail, ensure};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    migration::{Migration, MigrationSource},
    pg::Pg,
    select, sql_query,
    sql_types::{BigInt, Bool, Text},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    connection::{WAIT_FOR_LOCK, connect_patiently},
    locks::naming_locks,
    rights,
};
use crate::config::Database;

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

/// Prepares the database for a server or a command that works as the role of `conn`: applies pending migrations if
/// `AUTO_MIGRATE` is on, as the owner if the settings name one, who then grants that role its rights. Returns the names of
/// the migrations.
///
/// # Errors
/// A migration failed, or one is pending and may not be applied here, or the role lacks rights.
pub fn prepare(conn: &mut PgConnection, settings: &Database) -> Result<Vec<String>> {
    let mut applied = Vec::new();
    if settings.auto_migrate {
        applied = match &settings.migration_url {
            Some(url) => {
                let role = rights::current_role(conn)?;
                let mut owner = connect_patiently(url, settings)?;
                naming_locks(url, &mut owner, |owner| {
                    let applied = run(owner)?;
                    if rights::current_role(owner)? != role {
                        for right in rights::grant(owner, &role)? {
                            tracing::warn!(
                                role,
                                right,
                                "the role of the server has a right that it should not have"
                            );
                        }
                    }
                    Ok(applied)
                })?
            }
            None if pending(conn)? > 0 && rights::may_create(conn)? => run(conn)?,
            None => applied,
        };
    }
    check_current(conn)?;
    Ok(applied)
}

/// Checks that no migration is pending and that the role has its rights; the error says what to do.
pub fn check_current(conn: &mut PgConnection) -> Result<()> {
    let pending = pending(conn)?;
    let remedy = if rights::may_create(conn)? {
        "run `mintage migrate` (or set AUTO_MIGRATE=true)"
    } else {
        "the role of DATABASE_URL may not apply them; set DATABASE_MIGRATION_URL to the URL of the owner of the tables, \
         then run `mintage migrate` and `mintage database grant`"
    };
    ensure!(pending == 0, "{pending} migrations are pending: {remedy}");
    rights::check(conn)
}

/// Checks that the database was migrated at all, so that a command on a wrong one does not fail with an error of SQL.
pub fn check_not_empty(conn: &mut PgConnection) -> Result<()> {
    if !exists(conn, "users")? {
        let name: String = select(sql::<Text>("current_database()::text")).get_result(conn)?;
        bail!(
            "the database {name:?} has no tables of Mintage: check DATABASE_URL, or start a server on it or run \
             `mintage migrate` to create them"
        );
    }
    Ok(())
}

/// Counts the pending migrations. Unlike Diesel's count it needs no right to create the table of the applied ones.
fn pending(conn: &mut PgConnection) -> Result<usize> {
    let known = known()?;
    if !exists(conn, rights::MIGRATIONS)? {
        return Ok(known.len());
    }
    // Without this right the text of the error says which ones to grant.
    rights::check(conn)?;
    let applied = applied(conn)?;
    Ok(known.keys().filter(|version| !applied.contains_key(*version)).count())
}

/// The names of the migrations of this program, by version.
pub(super) fn known() -> Result<BTreeMap<String, String>> {
    let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(|error| anyhow!(error))?;
    Ok(known.iter().map(|one| (one.name().version().to_string(), one.name().to_string())).collect())
}

/// The versions of the applied migrations, in order, with the time at which each was applied; none in a database without
/// tables.
pub(super) fn applied(conn: &mut PgConnection) -> QueryResult<BTreeMap<String, String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
        #[diesel(sql_type = Text)]
        applied_at: String,
    }
    if !exists(conn, rights::MIGRATIONS)? {
        return Ok(BTreeMap::new());
    }
    let query = format!(
        "SELECT version::text AS version, run_on::text AS applied_at FROM public.{}",
        rights::MIGRATIONS
    );
    let rows: Vec<Row> = sql_query(query).load(conn)?;
    Ok(rows.into_iter().map(|row| (row.version, row.applied_at)).collect())
}

fn exists(conn: &mut PgConnection, table: &str) -> QueryResult<bool> {
    select(sql::<Bool>(&format!("to_regclass('public.{table}') IS NOT NULL"))).get_result(conn)
}

/// Works under an advisory lock of the session, which a crash releases. It may be held for long by the migrations of
/// another server. The timeout for tables is shorter, because a waiting `ALTER TABLE` blocks all other statements on
/// the table.
pub(super) fn locked<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    conn.batch_execute("SET lock_timeout = '120s'")?;
    sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(ADVISORY_LOCK).execute(conn)?;
    conn.batch_execute("SET lock_timeout = '10s'")?;
    let result = work(conn);
    conn.batch_execute(WAIT_FOR_LOCK)?;
    sql_query("SELECT pg_advisory_unlock($1)").bind::<BigInt, _>(ADVISORY_LOCK).execute(conn)?;
    result
}
