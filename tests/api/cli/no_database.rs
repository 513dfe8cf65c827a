//! Commands where there is no database of a server.

use std::fs;

use crate::support::{
    Database, SECRET_KEY,
    binary::{Server, directory, fail, mintage, postmaster_pid, succeed},
};

const COMMANDS: [&[&str]; 11] = [
    &["create-admin", "--email", "root@example.com"],
    &["keys", "list"],
    &["sessions", "end", "--all"],
    &["sessions", "end", "--user", "ada@example.com"],
    &["send-test-mail", "--to", "ada@example.com"],
    &["audit", "verify"],
    &["check-config", "--database"],
    &["rollback", "--yes"],
    &["database", "grant", "server"],
    &["database", "url"],
    &["database", "exec", "true"],
];

#[test]
fn only_serve_and_migrate_create_an_embedded_database() {
    let home = directory();
    let place = fs::canonicalize(home.path()).unwrap().join(".mintage");
    for arguments in COMMANDS {
        let error = fail(mintage(home.path(), &[]).args(arguments));
        let says = |part: &str| error.contains(part);
        assert!(
            says(place.to_str().unwrap()) && says("DATA_DIR") && says("DATABASE_URL"),
            "{arguments:?}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!place.exists(), "{arguments:?} creates something");
    }
    assert!(succeed(mintage(home.path(), &[]).arg("migrate")).contains("applied"));
    assert!(
        succeed(mintage(home.path(), &[]).args(["keys", "list"])).contains("there are no signing keys yet")
    );
    let error = fail(mintage(home.path(), &[]).args(["database", "url"]));
    assert!(error.contains("is not running: start the server first"), "{error}");
}

#[test]
fn a_data_directory_that_cannot_be_looked_into_is_not_called_empty() {
    let home = directory();
    let place = fs::canonicalize(home.path()).unwrap().join("data");
    let settings = [("DATA_DIR", place.to_str().unwrap())];
    // Links in a circle, which not even root can follow.
    let circle = |path: &std::path::Path| std::os::unix::fs::symlink(path, path).unwrap();
    circle(&place);
    let list = || fail(mintage(home.path(), &settings).args(["keys", "list"]));
    let says_so = |error: &str| {
        let begin = format!("cannot look into {} (DATA_DIR) as this user", place.display());
        assert!(error.contains(&begin) && !error.contains("there is no"), "{error}");
    };
    says_so(&list());
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    assert!(list().contains("there is no embedded database in"));
    circle(&place.join("postgres"));
    says_so(&list());
}

#[test]
fn a_program_is_run_on_the_embedded_database_without_a_server_too() {
    let home = directory();
    succeed(mintage(home.path(), &[]).arg("migrate"));
    let exec = |arguments: &[&str]| {
        let mut command = mintage(home.path(), &[]);
        command.args(["database", "exec"]).args(arguments);
        command
    };
    let show = ["sh", "-c", r#"test -S "$PGHOST/.s.PGSQL.5432" && echo "$PGDATABASE as $PGUSER""#];
    assert_eq!(succeed(&mut exec(&show)), "mintage as mintage_server\n");
    assert_eq!(succeed(&mut exec(&[&["--owner"], &show as &[_]].concat())), "mintage as mintage_owner\n");
    assert!(fail(&mut exec(&["false"])).contains("false failed: exit status: 1"));
    assert!(fail(&mut exec(&["no-such-program"])).contains("cannot run no-such-program"));
    assert!(!postmaster_pid(home.path()).exists(), "it was stopped again");
}

/// A shell may have them for another database.
#[test]
fn variables_of_postgresql_do_not_lead_to_another_database() {
    let home = directory();
    let services = home.path().join("services");
    fs::write(&services, "[other]\nhost=/nowhere\nhostaddr=127.0.0.2\nport=1\ndbname=other\nuser=other\n")
        .unwrap();
    let others = [
        ("PGSERVICE", "other"),
        ("PGSERVICEFILE", services.to_str().unwrap()),
        ("PGHOST", "/nowhere"),
        ("PGHOSTADDR", "127.0.0.2"),
        ("PGPORT", "1"),
        ("PGUSER", "other"),
        ("PGDATABASE", "other"),
        ("PGPASSWORD", "canary"),
        ("PGSSLMODE", "require"),
        ("PGOPTIONS", "-c work_mem=8MB"),
    ];
    succeed(mintage(home.path(), &others).arg("migrate"));
    let exec = |program: &[&str]| {
        succeed(mintage(home.path(), &others).args(["database", "exec", "--owner"]).args(program))
    };
    let of_libpq = exec(&["sh", "-c", "env | grep ^PG | sed 's/^PGHOST=.*/PGHOST/' | sort"]);
    assert_eq!(of_libpq, "PGDATABASE=mintage\nPGHOST\nPGPORT=5432\nPGUSER=mintage_owner\n");
    let _server = Server::start(home.path(), &others);
    let url = succeed(mintage(home.path(), &others).args(["database", "url"]));
    assert!(url.starts_with("postgresql:///mintage?host=") && url.contains("&port=5432"), "{url}");
    // An empty parameter, which only libpq understands, is for this program alone.
    assert!(!url.contains("hostaddr"), "{url}");
}

#[test]
fn a_database_without_tables_of_mintage_is_named() {
    let (home, database) = (directory(), Database::empty());
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    for arguments in &COMMANDS[1..7] {
        let error = fail(mintage(home.path(), &settings).args(*arguments));
        let named = format!("the database {:?} has no tables of Mintage", database.name());
        assert!(error.contains(&named) && error.contains("mintage migrate"), "{arguments:?}: {error}");
    }
    let error = fail(mintage(home.path(), &settings).args(["database", "url"]));
    assert!(error.contains("DATABASE_URL") && !error.contains("postgresql://"), "{error}");
}

#[tokio::test]
async fn the_url_of_the_embedded_database_opens_it() {
    use diesel::{Connection, PgConnection, connection::SimpleConnection};

    let home = directory();
    let _server = Server::start(home.path(), &[]);
    let connect = |arguments: &[&str]| {
        let printed = succeed(mintage(home.path(), &[]).args(["database", "url"]).args(arguments));
        PgConnection::establish(printed.trim()).unwrap()
    };
    let (mut server, mut owner) = (connect(&[]), connect(&["--owner"]));
    server.batch_execute("SELECT * FROM users").unwrap();
    let change = "ALTER TABLE users ADD COLUMN x integer; ALTER TABLE users DROP COLUMN x";
    assert!(server.batch_execute(change).is_err());
    owner.batch_execute(change).unwrap();
}
