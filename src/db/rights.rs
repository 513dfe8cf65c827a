//! The rights of the server's role: what it needs of each table, and nothing else.
//!
//! The owner of the tables could drop them, disable their triggers and so rewrite the audit trail. A server that connects
//! as a role without these rights cannot, whatever statement gets into it.

use std::fmt::Write;

use anyhow::{Result, anyhow, bail, ensure};
use diesel::{
    Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    select, sql_query,
    sql_types::{Array, Bool, Text},
};

/// The table in which Diesel notes the applied migrations.
pub(super) const MIGRATIONS: &str = "__diesel_schema_migrations";

/// Rights on each table besides SELECT. Rows that a foreign key deletes need none; `LOCK TABLE … IN EXCLUSIVE MODE` and
/// `SELECT … FOR UPDATE` need UPDATE; identity columns need no right on their sequence.
const RIGHTS: [(&str, &str); 41] = [
    (MIGRATIONS, ""),
    ("alerts", "INSERT, UPDATE, DELETE"),
    ("api_key_usage", "INSERT, UPDATE, DELETE"),
    ("api_keys", "INSERT, UPDATE, DELETE"),
    ("audit_chains", "INSERT, UPDATE"),
    ("blocklist", "INSERT, UPDATE, DELETE"),
    ("budgets", "INSERT, UPDATE, DELETE"),
    ("challenges", "INSERT, UPDATE, DELETE"),
    ("coin_backfills", "INSERT, UPDATE"),
    ("coin_catalogue", "INSERT, UPDATE, DELETE"),
    ("coin_history", "INSERT, UPDATE, DELETE"),
    ("coin_quotes", "INSERT, UPDATE"),
    ("coin_refs", "INSERT, UPDATE"),
    ("coin_rollups", "INSERT, UPDATE, DELETE"),
    ("coin_snapshots", "INSERT, DELETE"),
    ("coin_social", "INSERT, UPDATE, DELETE"),
    ("coins", "INSERT, UPDATE"),
    ("global_figures", "INSERT, UPDATE, DELETE"),
    ("idempotency_keys", "INSERT, UPDATE, DELETE"),
    ("job_schedules", "INSERT, UPDATE"),
    ("jobs", "INSERT, UPDATE, DELETE"),
    ("login_devices", "INSERT, UPDATE, DELETE"),
    ("login_networks", "INSERT, UPDATE, DELETE"),
    ("portfolio_transactions", "INSERT, UPDATE, DELETE"),
    ("provider_state", "INSERT, UPDATE"),
    ("rate_limits", "INSERT, UPDATE, DELETE"),
    ("refresh_tokens", "INSERT, UPDATE, DELETE"),
    ("registrations", "INSERT, UPDATE, DELETE"),
    // The columns that sealing and erasing write. A trigger decides which rows may be changed or deleted.
    (
        "security_events",
        "INSERT, DELETE, UPDATE (chain, seq, private_digest, hash, address, user_agent, details, salt, erased_at)",
    ),
    ("sessions", "INSERT, UPDATE, DELETE"),
    ("signing_keys", "INSERT, UPDATE, DELETE"),
    ("simulation", "INSERT, UPDATE, DELETE"),
    ("snapshot_rates", "INSERT"),
    ("social_cursors", "INSERT, UPDATE, DELETE"),
    ("social_hours", "INSERT, UPDATE, DELETE"),
    ("social_posts", "INSERT, DELETE"),
    ("social_streams", "INSERT, UPDATE"),
    ("social_tries", "INSERT, UPDATE, DELETE"),
    ("sync_slots", "INSERT, UPDATE, DELETE"),
    ("users", "INSERT, UPDATE, DELETE"),
    ("watchlist", "INSERT, DELETE"),
];

/// The rights that a role can have on a table.
const ALL: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];

/// Rights in this database that the role must not have, as a query.
const FORBIDDEN: &str = "\
    SELECT 'create objects in the schema public' AS line \
    WHERE has_schema_privilege($1, 'public', 'CREATE') \
    UNION ALL SELECT 'create schemas' WHERE has_database_privilege($1, current_database(), 'CREATE') \
    UNION ALL SELECT 'create temporary tables' WHERE has_database_privilege($1, current_database(), 'TEMPORARY')";

/// Reasons why granting rights cannot restrict a role, as a query.
const UNRESTRICTED: &str = "\
    SELECT 'is a superuser' AS line FROM pg_roles WHERE rolname = $1 AND rolsuper \
    UNION ALL SELECT 'may create roles (CREATEROLE)' FROM pg_roles WHERE rolname = $1 AND rolcreaterole \
    UNION ALL SELECT 'may replicate (REPLICATION)' FROM pg_roles WHERE rolname = $1 AND rolreplication \
    UNION ALL SELECT format('is or may act as %I, which owns the database', o.rolname) FROM pg_database d \
    JOIN pg_roles o ON o.oid = d.datdba \
    WHERE d.datname = current_database() AND pg_has_role($1, o.oid, 'MEMBER') \
    UNION ALL SELECT DISTINCT format('is or may act as %I, which owns tables', o.rolname) FROM pg_class c \
    JOIN pg_roles o ON o.oid = c.relowner \
    WHERE c.relnamespace = 'public'::regnamespace AND pg_has_role($1, o.oid, 'MEMBER') \
    UNION ALL SELECT format('is a member of %I', m.rolname) FROM pg_roles m \
    WHERE m.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_read_server_files', \
    'pg_write_server_files', 'pg_maintain') AND pg_has_role($1, m.oid, 'MEMBER')";

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Gives the role of a server the rights it needs, and takes away all others on the tables of Mintage. Tables that are
/// not there yet are left out: call it again after each migration. The rights change at once and in one transaction, so
/// a running server does not notice. Returns rights that the role still has and must not have, because this connection
/// may not revoke them.
///
/// # Errors
/// The role does not exist, has rights that cannot be taken away, or this connection is not the owner's.
pub fn grant(conn: &mut PgConnection, role: &str) -> Result<Vec<String>> {
    let exists = "SELECT rolname::text AS line FROM pg_roles WHERE rolname = $1";
    ensure!(
        !lines(conn, exists, role)?.is_empty(),
        "there is no role {role:?}: create it with CREATE ROLE … LOGIN PASSWORD '…'"
    );
    if let Some(reason) = lines(conn, UNRESTRICTED, role)?.into_iter().next() {
        bail!(
            "no grant restricts the role {role:?}, because it {reason}: create another role for the server"
        );
    }
    let present = present(conn)?;
    let database: String = select(sql::<Text>("current_database()::text")).get_result(conn)?;
    conn.transaction(|conn| -> Result<()> {
        // Two that change the rights of the same table at once would fail.
        sql_query("SELECT pg_advisory_xact_lock(hashtext('mintage database grant'))").execute(conn)?;
        for statements in [of_database(&database, role), of_schema(role)] {
            // Only the owners of these two may; whether anything is left to do is looked up afterwards.
            let _ = conn.transaction(|conn| conn.batch_execute(&statements));
        }
        conn.batch_execute(&of_tables(role, &present)).map_err(|error| {
            anyhow!("the rights cannot be granted; connect as the owner of the tables: {error}")
        })
    })?;
    // PostgreSQL only warns those who may not grant.
    let missing = missing(conn, role)?;
    ensure!(missing.is_empty(), "the rights cannot be granted: connect as the owner of the tables");
    Ok(lines(conn, FORBIDDEN, role)?)
}

fn of_database(database: &str, role: &str) -> String {
    let (database, role) = (quoted(database), quoted(role));
    format!(
        "REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC; REVOKE ALL ON DATABASE {database} FROM {role}; \
         GRANT CONNECT ON DATABASE {database} TO {role}"
    )
}

fn of_schema(role: &str) -> String {
    let role = quoted(role);
    format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM {role}; \
         GRANT USAGE ON SCHEMA public TO {role}"
    )
}

fn of_tables(role: &str, present: &[String]) -> String {
    let role = quoted(role);
    let mut statements = String::from("SET LOCAL client_min_messages = error;");
    for (table, rights) in RIGHTS.iter().filter(|(table, _)| present.iter().any(|name| name == table)) {
        let comma = if rights.is_empty() { "" } else { ", " };
        let _ = write!(
            statements,
            "REVOKE ALL ON TABLE public.{table} FROM PUBLIC, {role}; \
             GRANT SELECT{comma}{rights} ON TABLE public.{table} TO {role};"
        );
    }
    statements
}

/// Checks that the role of this connection may do what a server does; the error says what to run.
pub fn check(conn: &mut PgConnection) -> Result<()> {
    let role = current_role(conn)?;
    if let Some(missing) = missing(conn, &role)?.first() {
        bail!(
            "the role {role:?} of DATABASE_URL lacks the right to {missing}: run `mintage database grant {role}` with \
             DATABASE_MIGRATION_URL set to the URL of the owner of the tables"
        );
    }
    Ok(())
}

/// Rights that the role lacks.
fn missing(conn: &mut PgConnection, role: &str) -> QueryResult<Vec<String>> {
    let present = present(conn)?;
    let (mut tables, mut rights) = (Vec::new(), Vec::new());
    for (table, granted) in RIGHTS.iter().filter(|(table, _)| present.iter().any(|name| name == table)) {
        for right in ALL.iter().filter(|right| **right == "SELECT" || granted.contains(**right)) {
            tables.push(*table);
            rights.push(*right);
        }
    }
    // A right on some columns suffices for those that are granted by column.
    let rows: Vec<Line> = sql_query(
        "SELECT wanted || ' on ' || name AS line FROM unnest($1, $2) AS w (name, wanted) \
         WHERE NOT CASE WHEN wanted = 'DELETE' THEN has_table_privilege($3, 'public.' || name, wanted) \
         ELSE has_any_column_privilege($3, 'public.' || name, wanted) END",
    )
    .bind::<Array<Text>, _>(tables)
    .bind::<Array<Text>, _>(rights)
    .bind::<Text, _>(role)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

/// Whether the role of this connection could change the schema.
pub fn is_owner(conn: &mut PgConnection) -> QueryResult<bool> {
    let role = current_role(conn)?;
    Ok(!lines(conn, UNRESTRICTED, &role)?.is_empty())
}

/// The role of this connection.
pub(super) fn current_role(conn: &mut PgConnection) -> QueryResult<String> {
    select(sql::<Text>("current_user::text")).get_result(conn)
}

/// Whether the role of this connection may create tables.
pub(super) fn may_create(conn: &mut PgConnection) -> QueryResult<bool> {
    select(sql::<Bool>("has_schema_privilege('public', 'CREATE')")).get_result(conn)
}

/// The tables of the schema.
fn present(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
    let rows: Vec<Line> = sql_query(
        "SELECT relname::text AS line FROM pg_class \
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')",
    )
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

fn lines(conn: &mut PgConnection, query: &str, role: &str) -> QueryResult<Vec<String>> {
    let rows: Vec<Line> = sql_query(query).bind::<Text, _>(role).load(conn)?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

/// An identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
