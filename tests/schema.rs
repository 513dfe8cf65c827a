//! The schema in the database, the migrations and `src/db/schema.rs` agree.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "api/support/postgres.rs"]
#[expect(dead_code, reason = "shared with the API tests")]
mod postgres;

use std::{collections::BTreeMap, env, fmt::Write, fs};

use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use diesel_migrations::MigrationHarness;
use mintage::db::{migrate::MIGRATIONS, rollback};
use postgres::Database;

const SCHEMA_FILE: &str = "src/db/schema.rs";

fn lines(conn: &mut PgConnection, query: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let rows: Vec<Row> = sql_query(query).load(conn).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

const OURS: &str = "n.nspname = 'public' AND c.relname NOT LIKE '\\_\\_diesel%'";

/// Columns, constraints, indexes, functions and comments as text.
fn dump(conn: &mut PgConnection) -> Vec<String> {
    lines(
        conn,
        &format!(
            "SELECT concat_ws(' ', 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), \
                    a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid), \
                    col_description(c.oid, a.attnum)) AS line \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
             WHERE {OURS} AND c.relkind = 'r' \
             UNION ALL SELECT concat_ws(' ', 'constraint', c.relname, k.conname, pg_get_constraintdef(k.oid)) \
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE {OURS} \
             UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid)) \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE {OURS} \
             UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(p.oid)) \
             FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace \
             UNION ALL SELECT concat_ws(' ', 'table', c.relname, obj_description(c.oid)) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS} AND c.relkind = 'r' \
             ORDER BY 1"
        ),
    )
}

#[test]
fn every_migration_goes_up_down_and_up_again() {
    let database = Database::empty();
    let mut conn = database.connect();
    let count = conn.pending_migrations(MIGRATIONS).unwrap().len();
    assert!(count >= 3);
    for _ in 0..count {
        let before = dump(&mut conn);
        let name = conn.run_next_migration(MIGRATIONS).unwrap().to_string();
        let after = dump(&mut conn);
        assert_ne!(before, after, "{name} changes nothing");
        conn.revert_last_migration(MIGRATIONS).unwrap();
        assert_eq!(dump(&mut conn), before, "{name} leaves something behind");
        conn.run_next_migration(MIGRATIONS).unwrap();
        assert_eq!(dump(&mut conn), after, "{name} is not repeatable");
    }
}

/// The catalogue shows which tables and columns a rollback drops, but not what changed and deleted rows meant.
#[test]
fn a_down_file_that_deletes_or_changes_rows_says_what_that_loses() {
    for entry in fs::read_dir("migrations").unwrap() {
        let directory = entry.unwrap();
        let name = directory.file_name().into_string().unwrap();
        let Ok(down) = fs::read_to_string(directory.path().join("down.sql")) else { continue };
        let statements: Vec<_> = down.lines().filter(|line| !line.starts_with("--")).collect();
        let statements = statements.join("\n").to_uppercase();
        let changes_rows =
            ["DELETE FROM", "UPDATE ", "TRUNCATE"].iter().any(|verb| statements.contains(verb));
        let says_so = !rollback::losses(&name).is_empty();
        assert_eq!(
            says_so, changes_rows,
            "{name}: begin its down.sql with `-- Loses: ` and sentences, and list it in src/db/rollback.rs"
        );
    }
}

#[test]
fn every_foreign_key_is_indexed() {
    let database = Database::create();
    let missing = lines(
        &mut database.connect(),
        "SELECT k.conname::text AS line FROM pg_constraint k WHERE k.contype = 'f' AND NOT EXISTS ( \
             SELECT 1 FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL \
             AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)",
    );
    assert!(missing.is_empty(), "{missing:?}");
}

/// Otherwise the caller's search path, or a temporary table of its own, decides what a function reads.
#[test]
fn every_function_has_a_fixed_search_path() {
    let database = Database::create();
    let missing = lines(
        &mut database.connect(),
        "SELECT proname::text AS line FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
         AND NOT 'search_path=pg_catalog, public, pg_temp' = ANY (coalesce(proconfig, '{}'))",
    );
    assert!(missing.is_empty(), "SET search_path = pg_catalog, public, pg_temp for {missing:?}");
}

#[test]
fn every_table_and_column_has_a_comment() {
    let database = Database::create();
    let query = format!(
        "SELECT concat_ws('.', c.relname, a.attname) AS line \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE {OURS} AND c.relkind = 'r' \
         AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    );
    let missing = lines(&mut database.connect(), &query);
    assert!(missing.is_empty(), "{missing:?}");
}

/// Writes what diesel's `print-schema` writes.
fn print_schema(conn: &mut PgConnection) -> String {
    let mut tables: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let keys = format!(
        "SELECT c.relname || '|' || string_agg(a.attname, ', ' ORDER BY k.ord) AS line \
         FROM pg_constraint p JOIN pg_class c ON c.oid = p.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL unnest(p.conkey) WITH ORDINALITY AS k (num, ord) \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num \
         WHERE {OURS} AND p.contype = 'p' GROUP BY c.relname"
    );
    for line in lines(conn, &keys) {
        let (table, key) = line.split_once('|').unwrap();
        tables.insert(table.to_owned(), (key.to_owned(), Vec::new()));
    }
    let columns = format!(
        "SELECT concat_ws('|', c.relname, a.attname, t.typname, a.attnotnull) AS line \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type t ON t.oid = a.atttypid WHERE {OURS} AND c.relkind = 'r' ORDER BY c.relname, a.attnum"
    );
    for line in lines(conn, &columns) {
        let parts: Vec<_> = line.split('|').collect();
        let [table, column, kind, not_null] = parts[..] else { panic!("{line}") };
        let capital = |name: &str| {
            let (initial, rest) = name.split_at(1);
            initial.to_uppercase() + rest
        };
        // PostgreSQL's name of an array begins with an underscore; any element may be null.
        let kind = match kind.strip_prefix('_') {
            Some(element) => format!("Array<Nullable<{}>>", capital(element)),
            None => capital(kind),
        };
        let kind = if not_null == "t" { kind } else { format!("Nullable<{kind}>") };
        tables.get_mut(table).unwrap().1.push(format!("        {column} -> {kind},\n"));
    }
    let mut text = "// @generated automatically by Diesel CLI.\n".to_owned();
    for (table, (key, columns)) in &tables {
        let columns = columns.concat();
        write!(text, "\ndiesel::table! {{\n    {table} ({key}) {{\n{columns}    }}\n}}\n").unwrap();
    }
    let joins = format!(
        "SELECT DISTINCT concat('diesel::joinable!(', c.relname, ' -> ', f.relname, ' (', a.attname, '));') AS line \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class f ON f.oid = k.confrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1] \
         WHERE {OURS} AND k.contype = 'f' ORDER BY 1"
    );
    write!(text, "\n{}\n", lines(conn, &joins).join("\n")).unwrap();
    let names: String = tables.keys().fold(String::new(), |names, table| names + "    " + table + ",\n");
    write!(text, "\ndiesel::allow_tables_to_appear_in_same_query!(\n{names});\n").unwrap();
    text
}

#[test]
fn schema_rs_is_current() {
    let database = Database::create();
    let printed = print_schema(&mut database.connect());
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(SCHEMA_FILE, &printed).unwrap();
    }
    let committed = fs::read_to_string(SCHEMA_FILE).unwrap();
    assert!(printed == committed, "run `UPDATE_SCHEMA=1 cargo test --test schema`");
}
