//! Reverts migrations, after a trial that finds out what is lost.
//!
//! The trial reverts them in a transaction that is rolled back, and compares the catalogue of PostgreSQL before and after.
//! So the list of losses cannot be forgotten or wrong. It does not know what a lost row meant: a `down.sql` that deletes or
//! changes rows says that itself, in lines that begin with `-- Loses: `.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
};

use anyhow::{Result, anyhow, bail, ensure};
use diesel::{
    Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    dsl::sql,
    result::Error,
    select, sql_query,
    sql_types::{BigInt, Oid, SmallInt, Text},
};
use diesel_migrations::MigrationHarness;

use super::{
    migrate::{MIGRATIONS, applied, known, locked},
    rights::{self, quoted},
};

macro_rules! down {
    ($name:literal) => {
        ($name, include_str!(concat!("../../migrations/", $name, "/down.sql")))
    };
}

/// The files that delete or change rows; `tests/schema.rs` finds those that are missing here.
const DOWNS: [(&str, &str); 10] = [
    down!("2026-11-20-100800_social_fingerprints"),
    down!("2026-11-21-100200_budgets"),
    down!("2026-11-23-100200_user_administration"),
    down!("2026-11-24-110000_signing_algorithms"),
    down!("2026-11-24-120000_login_devices"),
    down!("2026-11-24-120100_erasure"),
    down!("2026-11-25-120000_social_samples"),
    down!("2026-11-25-140000_simulation"),
    down!("2026-11-25-170000_alert_metrics"),
    down!("2026-11-25-180000_followed_coins"),
];

/// What reverting this migration means for the rows that it deletes or changes, in sentences.
pub fn losses(name: &str) -> Vec<&'static str> {
    let down = DOWNS.iter().find(|(known, _)| *known == name).map_or("", |(_, down)| down);
    down.lines().filter_map(|line| line.strip_prefix("-- Loses: ")).collect()
}

/// Migrations to revert, and what that loses.
#[derive(Debug)]
pub struct Plan {
    /// The name of the database.
    pub database: String,
    /// Names, newest first.
    pub migrations: Vec<String>,
    /// Tables, columns and rows, one line each.
    pub lost: Vec<String>,
}

/// The name of the database.
///
/// # Errors
/// It does not answer.
pub fn database(conn: &mut PgConnection) -> QueryResult<String> {
    select(sql::<Text>("current_database()::text")).get_result(conn)
}

/// Finds out what reverting the newest `steps` migrations loses. Changes nothing, but locks the tables for a moment, as
/// the rollback will.
///
/// # Errors
/// Fewer migrations are applied, the newest is not part of this program, or one cannot be reverted.
pub fn plan(conn: &mut PgConnection, steps: usize) -> Result<Plan> {
    locked(conn, |conn| {
        let database = database(conn)?;
        let migrations = newest(conn, steps)?;
        let before = columns(conn)?;
        let (after, changes) = tried(conn, steps)?;
        let mut lost = dropped(conn, &before, &after)?;
        for Change { table, deleted, updated } in changes {
            let rows = count(conn, &format!("SELECT count(*) FROM public.{}", quoted(&table)))?;
            let changed = [("deleted", deleted), ("changed", updated)];
            let changed = changed.iter().filter(|(_, number)| *number > 0);
            lost.extend(changed.map(|(what, number)| {
                let are = if *number == 1 { "is" } else { "are" };
                format!("{table}: {number} of {rows} rows {are} {what}")
            }));
        }
        Ok(Plan { database, migrations, lost })
    })
}

/// Reverts all migrations of the plan, or none.
///
/// # Errors
/// A migration failed to revert, or others are the newest ones by now.
pub fn revert(conn: &mut PgConnection, plan: &Plan) -> Result<()> {
    locked(conn, |conn| {
        conn.transaction(|conn| {
            let steps = plan.migrations.len();
            ensure!(
                newest(conn, steps)? == plan.migrations,
                "nothing was reverted: other migrations were applied or reverted meanwhile"
            );
            revert_newest(conn, steps)
        })
    })
}

fn newest(conn: &mut PgConnection, steps: usize) -> Result<Vec<String>> {
    let (known, applied) = (known()?, applied(conn)?);
    ensure!(!applied.is_empty(), "no migration is applied, so there is nothing to revert");
    let number = applied.len();
    ensure!(
        steps <= number,
        "--steps is {steps}, but only {number} migrations are applied: nothing was reverted"
    );
    let newest = applied.keys().rev().take(steps).map(|version| match known.get(version) {
        Some(name) => Ok(name.clone()),
        None => bail!(
            "this program does not know the applied migration {version}, so it cannot revert it: use the version of \
             Mintage that applied it"
        ),
    });
    newest.collect()
}

fn revert_newest(conn: &mut PgConnection, steps: usize) -> Result<()> {
    (0..steps).try_for_each(|_| match conn.revert_last_migration(MIGRATIONS) {
        Ok(_) => Ok(()),
        Err(error) => Err(anyhow!(error)),
    })
}

/// A column, identified by numbers that PostgreSQL does not give to another one of the same name.
#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Oid)]
    table_id: u32,
    #[diesel(sql_type = SmallInt)]
    number: i16,
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    name: String,
}

fn columns(conn: &mut PgConnection) -> QueryResult<Vec<Column>> {
    sql_query(
        "SELECT c.oid AS table_id, a.attnum AS number, c.relname::text AS table, a.attname::text AS name \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> $1 \
         ORDER BY c.relname, a.attnum",
    )
    .bind::<Text, _>(rights::MIGRATIONS)
    .load(conn)
}

/// Rows of a table that were deleted or changed.
#[derive(QueryableByName)]
struct Change {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = BigInt)]
    deleted: i64,
    #[diesel(sql_type = BigInt)]
    updated: i64,
}

/// Reverts, looks, and rolls back. Returns the columns that are left, and changes of rows in tables that are left.
fn tried(conn: &mut PgConnection, steps: usize) -> Result<(Vec<Column>, Vec<Change>)> {
    let mut seen = None;
    let Err(end) = conn.transaction(|conn| -> Result<Infallible> {
        revert_newest(conn, steps)?;
        let changes = sql_query(
            "SELECT relname::text AS table, n_tup_del AS deleted, n_tup_upd AS updated FROM pg_stat_xact_user_tables \
             WHERE schemaname = 'public' AND relname <> $1 AND n_tup_del + n_tup_upd > 0 ORDER BY relname",
        )
        .bind::<Text, _>(rights::MIGRATIONS)
        .load(conn)?;
        seen = Some((columns(conn)?, changes));
        Err(Error::RollbackTransaction.into())
    });
    seen.ok_or(end)
}

/// Describes the tables and columns that are not there afterwards, with what is in them.
fn dropped(conn: &mut PgConnection, before: &[Column], after: &[Column]) -> QueryResult<Vec<String>> {
    let tables_left: HashSet<_> = after.iter().map(|column| column.table_id).collect();
    let columns_left: HashSet<_> = after.iter().map(|column| (column.table_id, column.number)).collect();
    let tables: BTreeMap<_, _> = before
        .iter()
        .filter(|column| !tables_left.contains(&column.table_id))
        .map(|column| (&column.table, column.table_id))
        .collect();
    let mut lost = Vec::new();
    for table in tables.keys() {
        let rows = count(conn, &format!("SELECT count(*) FROM public.{}", quoted(table)))?;
        lost.push(format!("table {table} ({rows} rows)"));
    }
    for Column { table, name, table_id, number } in before {
        if tables_left.contains(table_id) && !columns_left.contains(&(*table_id, *number)) {
            let from = format!("FROM public.{}", quoted(table));
            let rows = count(conn, &format!("SELECT count(*) {from}"))?;
            let values = count(conn, &format!("SELECT count({}) {from}", quoted(name)))?;
            lost.push(format!("column {table}.{name} ({values} of {rows} rows have a value)"));
        }
    }
    Ok(lost)
}

fn count(conn: &mut PgConnection, query: &str) -> QueryResult<i64> {
    select(sql::<BigInt>(&format!("({query})"))).get_result(conn)
}
