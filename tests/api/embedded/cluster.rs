//! The embedded PostgreSQL: the rights of the server, clusters of earlier versions, broken pid files.

use std::{fs, path::Path};

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Bool, Text},
};
use serde_json::json;

use crate::support::{
    PASSWORD,
    binary::{Server, directory, fail, kill_postgres, mintage, postmaster_pid, succeed},
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

fn connect(home: &Path, role: &str) -> PgConnection {
    let host = home.join(".mintage/postgres").canonicalize().unwrap();
    let host = host.to_str().unwrap().replace('/', "%2F");
    PgConnection::establish(&format!("postgresql:///mintage?host={host}&user={role}")).unwrap()
}

/// Roles that are connected, and what the superuser owns in the server's database.
const CONNECTED: &str = "SELECT DISTINCT usename::text AS line FROM pg_stat_activity \
                         WHERE datname = 'mintage' AND pid <> pg_backend_pid() AND usename IS NOT NULL";
const LEFT: &str = "SELECT relname::text AS line FROM pg_class \
                    WHERE relnamespace = 'public'::regnamespace AND relowner = 'mintage'::regrole \
                    UNION ALL SELECT proname::text FROM pg_proc \
                    WHERE pronamespace = 'public'::regnamespace AND proowner = 'mintage'::regrole \
                    UNION ALL SELECT datname::text FROM pg_database \
                    WHERE datname = 'mintage' AND datdba = 'mintage'::regrole";

async fn get_in(server: &Server, path: &str, status: u16) {
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    server.client().post(path, &body).await.assert(status);
}

#[tokio::test]
async fn the_server_is_no_superuser_of_its_database() {
    #[derive(QueryableByName)]
    struct Rights {
        #[diesel(sql_type = Bool)]
        any: bool,
    }
    let home = directory();
    let server = Server::start(home.path(), &[]);
    get_in(&server, "/api/v1/auth/register", 201).await;
    let mut admin = connect(home.path(), "mintage");
    assert_eq!(lines(&mut admin, CONNECTED), ["mintage_server"]);
    assert!(lines(&mut admin, LEFT).is_empty());
    let any = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR EXISTS ( \
               SELECT FROM pg_auth_members WHERE member = r.oid) AS any \
               FROM pg_roles r WHERE rolname = 'mintage_server'";
    assert!(!sql_query(any).get_result::<Rights>(&mut admin).unwrap().any);
    let mut own = connect(home.path(), "mintage_server");
    for forbidden in [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/mintage-must-not-exist'",
        "SELECT pg_read_file('postgresql.conf')",
        "ALTER SYSTEM SET archive_command = 'true'",
        "CREATE ROLE another SUPERUSER",
        "SET ROLE mintage",
    ] {
        let error = own.batch_execute(forbidden).unwrap_err().to_string();
        assert!(error.contains("permission denied") || error.contains("must be"), "{forbidden}: {error}");
    }
}

#[tokio::test]
async fn a_cluster_of_an_earlier_version_is_handed_over_while_it_runs() {
    let home = directory();
    let settings = [("PUBLIC_URL", "http://mintage.test")];
    let mut server = Server::start(home.path(), &settings);
    get_in(&server, "/api/v1/auth/register", 201).await;
    server.kill();
    let mut admin = connect(home.path(), "mintage");
    // As it was when the server was the superuser.
    admin
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mintage_server'; \
             REASSIGN OWNED BY mintage_owner TO mintage; DROP OWNED BY mintage_server, mintage_owner; \
             DROP ROLE mintage_server; DROP ROLE mintage_owner",
        )
        .unwrap();
    let before = lines(&mut admin, LEFT);
    assert!(before.contains(&"users".to_owned()) && before.contains(&"refuse_reserved_email".to_owned()));
    drop(admin);

    let mut server = Server::start(home.path(), &settings);
    get_in(&server, "/api/v1/auth/login", 200).await;
    let mut admin = connect(home.path(), "mintage");
    assert_eq!(lines(&mut admin, LEFT), [""; 0]);
    assert_eq!(lines(&mut admin, CONNECTED), ["mintage_server"]);
    drop(admin);
    // While it runs and when it does not, the command line has the same rights and they suffice.
    succeed(mintage(home.path(), &settings).args(["keys", "list"]));
    assert!(server.stop().success());
    let steps = number_of_migrations();
    succeed(mintage(home.path(), &settings).args(["rollback", "--yes", "--steps", &steps.to_string()]));
    succeed(mintage(home.path(), &settings).arg("migrate"));
}

fn number_of_migrations() -> usize {
    std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("20"))
        .count()
}

/// A crash on a full disk leaves files without content.
#[tokio::test]
async fn pid_files_that_a_crash_left_without_a_pid_do_not_stop_a_start() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    get_in(&server, "/api/v1/auth/register", 201).await;
    let socket = home.path().join(".mintage/postgres/.s.PGSQL.5432.lock");
    for (pid, lock) in [("", ""), ("\0\0\0\0\0", "-"), ("half a line", "4711 and more\n")] {
        server.kill();
        kill_postgres(home.path());
        fs::write(postmaster_pid(home.path()), pid).unwrap();
        fs::write(&socket, lock).unwrap();
        server = Server::start(home.path(), &[]);
        get_in(&server, "/api/v1/auth/login", 200).await;
    }
    assert!(server.stop().success());
}

#[tokio::test]
async fn a_running_postgres_whose_pid_file_is_broken_gets_no_second_one_beside_it() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    get_in(&server, "/api/v1/auth/register", 201).await;
    server.kill();
    let file = postmaster_pid(home.path());
    let text = fs::read_to_string(&file).unwrap();
    let pid = text.lines().next().unwrap();
    fs::write(&file, "").unwrap();
    let error = fail(&mut mintage(home.path(), &[]));
    assert!(error.contains(&format!("pid {pid}")) && error.contains("postmaster.pid"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"", "the file is left alone");
    fs::write(&file, text).unwrap();
    // The first one has run all the time.
    assert_eq!(lines(&mut connect(home.path(), "mintage"), "SELECT 'alive' AS line"), ["alive"]);
    let server = Server::start(home.path(), &[]);
    get_in(&server, "/api/v1/auth/login", 200).await;
}
