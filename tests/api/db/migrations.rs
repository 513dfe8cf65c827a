//! `mintage migrate` and `mintage rollback`.

use std::{fs, process::Stdio};

use diesel::connection::SimpleConnection;

use crate::support::{
    App, Database,
    binary::{Server, directory, fail, mintage, run, stderr, stdout, succeed},
    eventually,
};

#[tokio::test]
async fn migrations_are_run_by_hand_with_auto_migrate_off() {
    let database = Database::empty();
    let home = directory();
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose()), ("AUTO_MIGRATE", "false")];
    let error = fail(&mut mintage(home.path(), &settings));
    assert!(error.contains("mintage migrate"), "{error}");

    let applied = succeed(mintage(home.path(), &settings).arg("migrate"));
    let count = applied.lines().filter(|line| line.starts_with("applied ")).count();
    assert!(count >= 3, "{applied}");
    assert!(succeed(mintage(home.path(), &settings).arg("migrate")).contains("nothing to apply"));
    Server::start(home.path(), &settings).client().get("/readyz").await.assert(200);

    let too_many = (count + 1).to_string();
    let rollback = |arguments: &[&str]| {
        let mut command = mintage(home.path(), &settings);
        command.args(["rollback", "--yes", "--database", database.name()]).args(arguments);
        command
    };
    let error = fail(&mut rollback(&["--steps", &too_many]));
    assert!(error.contains(&format!("only {count} migrations are applied")), "{error}");
    assert!(succeed(mintage(home.path(), &settings).arg("migrate")).contains("nothing to apply"));

    let reverted = succeed(&mut rollback(&["--steps", &count.to_string()]));
    assert_eq!(reverted.lines().filter(|line| line.starts_with("reverted 20")).count(), count);
    assert!(reverted.contains("table users (0 rows)"), "{reverted}");
    let error = fail(&mut rollback(&[]));
    assert!(error.contains("no migration is applied"), "{error}");
    fail(&mut rollback(&["--steps", "0"]));
}

const NEWEST: &str = "SELECT count(*) FROM __diesel_schema_migrations";
/// Accounts with each of the states that reverting loses.
const ACCOUNTS: &str = "\
    INSERT INTO users (id, email, email_canonical, created_at, updated_at, password_hash) VALUES \
    ('01a1ffe0-8881-7329-9731-5a48f9075c51', 'ada@example.com', 'ada@example.com', now(), now(), '$2b$04$x'), \
    ('01a1ffe0-8881-7329-9731-5a48f9075c52', 'bob@example.com', 'bob@example.com', now(), now(), 'foreign:scrypt:x'), \
    ('01a1ffe0-8881-7329-9731-5a48f9075c53', 'cyd@example.com', 'cyd@example.com', now(), now(), '!'); \
    INSERT INTO users (id, email, email_canonical, created_at, updated_at, password_hash, deleted_at, purge_at) VALUES \
    ('01a1ffe0-8881-7329-9731-5a48f9075c54', 'dan@example.com', 'deleted:01a1ffe0-8881-7329-9731-5a48f9075c54', \
    now(), now(), '$2b$04$x', now(), now())";

/// How many migrations lead back to before the administration of users.
fn steps() -> String {
    let names = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("20") && **name >= *"2026-11-23-100200").count().to_string()
}

#[test]
fn a_rollback_lists_what_is_lost_and_does_nothing_unless_it_is_confirmed() {
    let (home, database) = (directory(), Database::create());
    database.connect().batch_execute(ACCOUNTS).unwrap();
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose())];
    let before = database.count(NEWEST);
    let steps = steps();
    let rollback = ["rollback", "--database", database.name(), "--steps", &steps];
    let refused = run(mintage(home.path(), &settings).args(rollback));
    assert!(!refused.status.success() && stderr(&refused).contains("repeat it with --yes"), "{refused:?}");
    let listed = stdout(&refused);
    for line in [
        "  2026-11-24-120100_erasure",
        "  table api_keys (0 rows)",
        "  column users.deleted_at (1 of 4 rows have a value)",
        "  users: 3 of 4 rows are deleted",
        "  users: 1 of 4 rows is changed",
        "  Accounts that are deleted but can still be restored are gone for good, with their sessions, alerts and \
         watch lists.",
        "  Passwords that were imported as hashes of another system: these accounts have no password then, and their \
         owners need a password reset.",
    ] {
        assert!(listed.lines().any(|listed| listed == line), "{line:?} is missing in {listed}");
    }
    assert_eq!((database.count(NEWEST), database.count("SELECT count(*) FROM users")), (before, 4));

    let reverted = succeed(mintage(home.path(), &settings).args(rollback).arg("--yes"));
    assert!(reverted.contains("reverted 2026-11-24-120100_erasure"), "{reverted}");
    // The imported hash became that of an invited person, who is deleted with the others.
    assert_eq!(database.count("SELECT count(*) FROM users"), 1);
}

#[test]
fn production_reverts_only_with_the_name_of_the_database() {
    let (home, database) = (directory(), Database::create());
    let url = database.owner_url();
    let settings = [
        ("PROFILE", "production"),
        ("PUBLIC_URL", "https://api.example.com"),
        ("SECRET_KEY", "8d1f6f0ab6a5ce2d9f60a73f25dbd1f9c0f4e86b71a6c1d3c2a95f0be47c6a18"),
        ("BCRYPT_COST", "10"),
        ("DATABASE_URL", url.expose()),
    ];
    let rollback = |arguments: &[&str]| {
        let mut command = mintage(home.path(), &settings);
        command.arg("rollback").args(arguments);
        command
    };
    let (before, name) = (database.count(NEWEST), database.name());
    // Without it, and with another one, no table is locked, not even for the list.
    let mut user = database.connect();
    user.batch_execute("BEGIN; SELECT FROM users").unwrap();
    for arguments in [&[] as &[&str], &["--yes"], &["--yes", "--database", "mintage"]] {
        let output = run(&mut rollback(arguments));
        let error = stderr(&output);
        assert!(!output.status.success() && stdout(&output).is_empty(), "{arguments:?}: {output:?}");
        assert!(error.contains("nothing was reverted") && error.contains("database"), "{error}");
        assert!(!error.contains("lock") && !error.contains("timeout"), "{error}");
    }
    drop(user);
    let listed = run(&mut rollback(&["--database", name]));
    assert!(stderr(&listed).contains("repeat it with --yes") && stdout(&listed).contains("  2026-"));
    assert_eq!(database.count(NEWEST), before);
    succeed(&mut rollback(&["--yes", "--database", name]));
    assert_eq!(database.count(NEWEST), before - 1);
}

/// `PROFILE` is development unless it is set, also in a shell that has the `DATABASE_URL` of production.
#[test]
fn a_database_that_is_not_the_embedded_one_is_reverted_only_by_its_name() {
    let (home, database) = (directory(), Database::create());
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose())];
    let before = database.count(NEWEST);
    let refused = run(mintage(home.path(), &settings).args(["rollback", "--yes"]));
    assert!(!refused.status.success() && stderr(&refused).contains("--database"), "{refused:?}");
    assert_eq!((stdout(&refused), database.count(NEWEST)), (String::new(), before));
    let other = fail(mintage(home.path(), &settings).args(["rollback", "--yes", "--database", "mintage"]));
    assert!(other.contains(&format!("the database is {:?}, not \"mintage\"", database.name())), "{other}");
    succeed(mintage(home.path(), &settings).args(["rollback", "--yes", "--database", database.name()]));
    assert_eq!(database.count(NEWEST), before - 1);
}

#[test]
fn a_migration_of_a_newer_version_is_not_reverted() {
    let (home, database) = (directory(), Database::create());
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')";
    database.connect().batch_execute(newer).unwrap();
    let url = database.owner_url();
    let rollback = ["rollback", "--yes", "--database", database.name()];
    let error = fail(mintage(home.path(), &[("DATABASE_URL", url.expose())]).args(rollback));
    assert!(error.contains("does not know the applied migration 29991231235959"), "{error}");
}

/// Servers are updated one after the other, and the first new one migrates.
#[tokio::test]
async fn a_newer_schema_leaves_a_server_ready() {
    let app = App::start();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')";
    app.sql().batch_execute(newer).unwrap();
    let looks = || app.database().statements_with("run_on::text AS applied_at");
    let before = looks();
    eventually("looks at the schema", async || looks() > before + 1).await;
    app.anyone().get("/readyz").await.assert(200);
}

#[tokio::test]
async fn a_server_whose_schema_was_reverted_is_not_ready_until_it_is_restarted() {
    let (home, database) = (directory(), Database::create());
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose())];
    let mut server = Server::start(home.path(), &settings);
    let client = server.client();
    let rollback = ["rollback", "--yes", "--steps", "5", "--database", database.name()];
    succeed(mintage(home.path(), &settings).args(rollback));
    let not_ready = async |reason: &str| {
        let answer = client.get("/readyz").await;
        answer.status == 503 && answer.json()["detail"].as_str().unwrap().contains(reason)
    };
    eventually("the missing migrations", async || not_ready("lacks migrations of this version (5)").await)
        .await;
    succeed(mintage(home.path(), &settings).arg("migrate"));
    eventually("the other tables", async || not_ready("restart the server").await).await;
    client.get("/healthz").await.assert(200);
    assert!(server.stop().success());
    Server::start(home.path(), &settings).client().get("/readyz").await.assert(200);
}

#[test]
fn of_parallel_migrations_one_applies_them() {
    let database = Database::empty();
    let home = directory();
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose())];
    let start = || mintage(home.path(), &settings).arg("migrate").stdout(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..6).map(|_| start()).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    assert_eq!(outputs.iter().filter(|output| stdout(output).contains("applied")).count(), 1);
}
