//! What the role of the server may do in its database, and `mintage database grant`.

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types::Text,
};
use mintage::config::Secret;

use crate::support::{
    App, Database, Role,
    binary::{Server, directory, fail, mintage, succeed},
    eventually,
};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(conn: &mut PgConnection, query: &str) -> Vec<String> {
    let rows: Vec<Line> = sql_query(query).load(conn).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

#[tokio::test]
async fn a_statement_with_the_rights_of_the_server_cannot_change_the_schema_or_reach_the_machine() {
    let app = App::start();
    app.user().await;
    let mut conn = app.database().connect_as_server();
    for forbidden in [
        "DROP TABLE blocklist",
        "DROP TABLE security_events CASCADE",
        "DROP SCHEMA public CASCADE",
        "ALTER TABLE users ADD COLUMN x integer",
        "ALTER TABLE users OWNER TO mintage_server",
        "ALTER TABLE security_events DISABLE TRIGGER ALL",
        "ALTER TABLE security_events DISABLE TRIGGER security_events_guard",
        "DROP TRIGGER security_events_guard ON security_events",
        "ALTER FUNCTION security_events_guard() RESET search_path",
        "CREATE OR REPLACE FUNCTION security_events_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "SET session_replication_role = replica",
        "TRUNCATE users CASCADE",
        "TRUNCATE security_events",
        "CREATE TABLE x (id integer)",
        "CREATE TABLE public.x (id integer)",
        "CREATE TEMP TABLE audit_chains (id integer, pruned_seq bigint)",
        "CREATE VIEW x AS SELECT 1",
        "CREATE SCHEMA x",
        "CREATE SEQUENCE x",
        "CREATE TYPE x AS ENUM ('a')",
        "CREATE FUNCTION x() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER x BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse_reserved_email()",
        "CREATE INDEX ON users (name)",
        "CREATE EXTENSION dblink",
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "ALTER ROLE mintage_server SUPERUSER",
        "SET ROLE mintage_owner",
        "SET SESSION AUTHORIZATION mintage",
        "DELETE FROM __diesel_schema_migrations",
        "DELETE FROM audit_chains",
        "DELETE FROM coins",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_shadow",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY users FROM PROGRAM 'true'",
        "COPY users TO '/tmp/mintage-must-not-exist'",
        "ALTER SYSTEM SET archive_command = 'true'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mintage'",
    ] {
        let done = conn.batch_execute(forbidden).map_err(|error| error.to_string());
        let Err(error) = done else {
            // This one ends nothing if the superuser is not connected.
            assert!(forbidden.contains("pg_terminate_backend"), "{forbidden} is allowed");
            continue;
        };
        let refused = ["permission denied", "must be", "not allowed"].iter().any(|part| error.contains(part));
        assert!(refused, "{forbidden}: {error}");
    }
}

#[tokio::test]
async fn a_statement_with_the_rights_of_the_server_cannot_change_or_delete_a_sealed_event() {
    let app = App::start();
    app.user().await;
    let sealed = "SELECT count(*) FROM security_events WHERE seq IS NOT NULL";
    eventually("a sealed event", async || app.count(sealed) > 0).await;
    eventually("no unsealed one", async || {
        app.count("SELECT count(*) FROM security_events WHERE seq IS NULL") == 0
    })
    .await;
    let all = "SELECT e::text AS line FROM security_events e ORDER BY seq";
    let before = lines(&mut app.sql(), all);
    let mut conn = app.database().connect_as_server();
    for forbidden in [
        "DELETE FROM security_events",
        "UPDATE security_events SET kind = 'logged_out'",
        "UPDATE security_events SET at = now()",
        "UPDATE security_events SET user_id = NULL",
        "UPDATE security_events SET actor_id = gen_random_uuid()",
        "UPDATE security_events SET seq = seq + 1000",
        "UPDATE security_events SET seq = NULL, chain = NULL, hash = NULL, private_digest = NULL",
        "UPDATE security_events SET hash = '\\x00'",
        "UPDATE security_events SET address = '192.0.2.1'",
        "UPDATE security_events SET details = '{\"forged\": true}'",
        "UPDATE security_events SET erased_at = now(), user_agent = 'forged', address = NULL, salt = NULL, details = '{}'",
        // Another table in place of the one that the trigger reads.
        "SET search_path = pg_temp, public; DELETE FROM security_events",
        "INSERT INTO security_events SELECT * FROM security_events",
    ] {
        let error = conn.batch_execute(forbidden).expect_err(forbidden).to_string();
        let refused =
            ["permission denied", "append-only", "duplicate key"].iter().any(|part| error.contains(part));
        assert!(refused, "{forbidden}: {error}");
    }
    assert_eq!(lines(&mut app.sql(), all), before);
}

#[test]
fn every_table_has_its_rights_and_none_more_than_reading_and_writing_rows() {
    let database = Database::create();
    let tables = "FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";
    let unreadable = format!(
        "SELECT relname::text AS line {tables} AND NOT has_table_privilege('mintage_server', oid, 'SELECT')"
    );
    let missing = lines(&mut database.connect(), &unreadable);
    assert!(missing.is_empty(), "add to RIGHTS in src/db/rights.rs what the server does with {missing:?}");
    let more = format!(
        "SELECT relname::text AS line {tables} AND has_table_privilege('mintage_server', oid, 'TRUNCATE, REFERENCES, TRIGGER')"
    );
    assert_eq!(lines(&mut database.connect(), &more), [""; 0]);
}

fn grant(url: &Secret, role: &str) -> std::process::Command {
    let mut command = mintage(&std::env::temp_dir(), &[("DATABASE_URL", url.expose())]);
    command.args(["database", "grant", "--", role]);
    command
}

#[tokio::test]
async fn a_granted_role_with_any_name_serves_and_the_grant_can_be_repeated() {
    let role = Role::create("a role; \"DROP\" $$ 'x' %s", "");
    let (home, database) = (directory(), Database::create());
    let url = database.url_of(&role);
    let settings = [("DATABASE_URL", url.expose())];
    let error = fail(&mut mintage(home.path(), &settings));
    assert!(
        error.contains("lacks the right to SELECT on") && error.contains("mintage database grant"),
        "{error}"
    );
    let checked = fail(mintage(home.path(), &settings).args(["check-config", "--database"]));
    assert!(checked.contains("mintage database grant"), "{checked}");
    // What it had before and must not have.
    let more =
        "GRANT TRUNCATE, TRIGGER ON users TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC";
    database.connect().batch_execute(more).unwrap();
    for _ in 0..2 {
        assert!(succeed(&mut grant(&database.owner_url(), &role.0)).contains("has the rights of a server"));
    }
    let mut conn = PgConnection::establish(url.expose()).unwrap();
    for forbidden in ["TRUNCATE users CASCADE", "DELETE FROM coins", "CREATE TEMP TABLE x (id integer)"] {
        assert!(conn.batch_execute(forbidden).is_err(), "{forbidden}");
    }
    let server = Server::start(home.path(), &settings);
    server.register("ada@example.com").await;
    server.log_in("ada@example.com").await.get("/api/v1/user").await.assert(200);
}

#[test]
fn roles_that_no_grant_restricts_are_refused() {
    let roles = [
        (Role::create("granted_super", "SUPERUSER"), "is a superuser"),
        (Role::create("granted_createrole", "CREATEROLE"), "CREATEROLE"),
        (Role::create("granted_replication", "REPLICATION"), "REPLICATION"),
        (Role::create("granted_member", "IN ROLE mintage_owner"), "may act as mintage_owner"),
        (Role::create("granted_writer", "IN ROLE pg_write_all_data"), "pg_write_all_data"),
        (Role::create("granted_program", "IN ROLE pg_execute_server_program"), "pg_execute_server_program"),
    ];
    let database = Database::create();
    for (role, reason) in &roles {
        let error = fail(&mut grant(&database.owner_url(), &role.0));
        assert!(error.contains(reason) && error.lines().count() == 1, "{}: {error}", role.0);
    }
    let error = fail(&mut grant(&database.owner_url(), "mintage_owner"));
    assert!(error.contains("owns"), "{error}");
    let error = fail(&mut grant(&database.owner_url(), "nobody here"));
    assert!(error.contains("there is no role \"nobody here\": create it"), "{error}");
    // Only the owner grants.
    let role = Role::create("granted_by_other", "");
    let error = fail(&mut grant(&database.url(), &role.0));
    assert!(error.contains("connect as the owner"), "{error}");
}

#[tokio::test]
async fn a_server_that_also_gets_the_url_of_the_owner_migrates_and_serves_with_the_rights_of_its_role() {
    let role = Role::create("served", "");
    let (home, database) = (directory(), Database::empty());
    let (url, owner) = (database.url_of(&role), database.owner_url());
    let alone = [("DATABASE_URL", url.expose())];
    for arguments in [&[] as &[&str], &["create-admin", "--email", "root@example.com"]] {
        let error = fail(mintage(home.path(), &alone).args(arguments));
        assert!(
            error.contains("migrations are pending") && error.contains("DATABASE_MIGRATION_URL"),
            "{error}"
        );
    }
    assert!(fail(mintage(home.path(), &alone).arg("migrate")).contains("permission denied"));
    let both = [("DATABASE_URL", url.expose()), ("DATABASE_MIGRATION_URL", owner.expose())];
    let server = Server::start(home.path(), &both);
    server.register("ada@example.com").await;
    let connected = "SELECT DISTINCT usename::text AS line FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL";
    eventually("the end of the owner's connection", async || {
        lines(&mut database.connect(), connected) == ["served"]
    })
    .await;
    drop(server);
    // By hand, as the owner; the server then needs no URL but its own.
    let rollback = ["rollback", "--yes", "--database", database.name()];
    succeed(mintage(home.path(), &both).args(rollback));
    assert!(fail(&mut mintage(home.path(), &alone)).contains("1 migrations are pending"));
    assert!(succeed(mintage(home.path(), &both).arg("migrate")).contains("applied"));
    succeed(mintage(home.path(), &both).args(["database", "grant", "served"]));
    Server::start(home.path(), &alone).client().get("/readyz").await.assert(200);
}

#[test]
fn the_url_of_the_owner_belongs_to_the_url_of_a_server() {
    let error =
        fail(&mut mintage(&std::env::temp_dir(), &[("DATABASE_MIGRATION_URL", "postgres://canary@h/d")]));
    assert!(error.contains("DATABASE_MIGRATION_URL") && !error.contains("canary"), "{error}");
}
