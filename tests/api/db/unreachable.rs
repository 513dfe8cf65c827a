//! Starts with a database that refuses connections or is locked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Output, Stdio},
    thread,
};

use diesel::connection::SimpleConnection;

use crate::support::{
    Database,
    binary::{directory, fail, mintage, run, stderr, stdout},
};

const KEY: &str = "8d1f6f0ab6a5ce2d9f60a73f25dbd1f9c0f4e86b71a6c1d3c2a95f0be47c6a18";
const SSL_REQUEST: u32 = 80_877_103;

/// Sends this error to every client, as PostgreSQL does before it closes a connection; `tls` is its answer to those which
/// ask for TLS.
fn postgres_that_says(message: &str, tls: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fields = format!("SFATAL\0VFATAL\0C08000\0M{message}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    let error = [b"E", length.as_slice(), fields.as_bytes()].concat();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = refuse(stream.unwrap(), &error, tls);
        }
    });
    port
}

fn refuse(mut stream: TcpStream, error: &[u8], tls: u8) -> std::io::Result<()> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    if head[4..] == SSL_REQUEST.to_be_bytes() {
        stream.write_all(&[tls])?;
        stream.read_exact(&mut head)?;
    }
    stream.write_all(error)?;
    // Until the client has read it and hangs up.
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// `mintage migrate` in production, where the log is JSON.
fn migrate(home: &Path, url: &str, patience: &str) -> Output {
    let settings = [
        ("PROFILE", "production"),
        ("SECRET_KEY", KEY),
        ("PUBLIC_URL", "https://api.example.com"),
        ("MAIL_TRANSPORT", "file"),
        ("RATE_LIMITS", "on"),
        ("REQUIRE_CONFIRMATION", "on"),
        ("BCRYPT_COST", "12"),
        ("DATABASE_URL", url),
        ("DATABASE_CONNECT_WAIT", patience),
    ];
    run(mintage(home, &settings).arg("migrate"))
}

#[track_caller]
fn said_without_the_url(output: &Output) -> String {
    let said = stdout(output) + &stderr(output);
    assert!(!output.status.success() && !said.contains("canary"), "{said}");
    said
}

#[test]
fn permanent_database_errors_end_a_start_at_once_with_one_line() {
    let home = directory();
    for (message, part) in [
        ("password authentication failed for user \"canary\"", "password"),
        ("Peer authentication failed for user \"canary\"", "password"),
        ("role \"canary\" does not exist", "user"),
        ("role \"canary\" is not permitted to log in", "user"),
        ("database \"canary\" does not exist", "database"),
        ("permission denied for database \"canary\"", "database"),
        (
            "no pg_hba.conf entry for host \"127.0.0.1\", user \"canary\", database \"canary\", no encryption",
            "pg_hba.conf",
        ),
        ("pg_hba.conf rejects connection for host \"127.0.0.1\", user \"canary\"", "pg_hba.conf"),
        ("unrecognized configuration parameter \"canary\"", "option"),
        ("unsupported startup parameter: canary", "option"),
    ] {
        let url = format!("postgres://canary:canary@127.0.0.1:{}/canary", postgres_that_says(message, b'N'));
        let said = said_without_the_url(&migrate(home.path(), &url, "10m"));
        assert_eq!(said.lines().count(), 1, "{message}: {said}");
        assert!(said.starts_with("mintage: cannot connect to PostgreSQL: "), "{said}");
        assert!(said.contains(part), "{message}: {said}");
    }
}

#[test]
fn refused_tls_and_options_that_libpq_does_not_know_end_a_start_at_once() {
    let home = directory();
    let port = postgres_that_says("not reached", b'N');
    let with_tls = postgres_that_says("not reached", b'S');
    let no_file = format!("{with_tls}/canary?sslmode=verify-full&sslrootcert=/canary.pem");
    for (rest, part) in [
        (format!("{port}/canary?sslmode=require"), "sslmode"),
        (no_file, "sslrootcert"),
        (format!("{port}/canary?sslmode=canary"), "option"),
        (format!("{port}/canary?keepalives_idle=canary"), "option"),
        (format!("{port}/canary?target_session_attrs=canary"), "option"),
    ] {
        let said = said_without_the_url(&migrate(
            home.path(),
            &format!("postgres://u:canary@127.0.0.1:{rest}"),
            "10m",
        ));
        assert_eq!(said.lines().count(), 1, "{rest}: {said}");
        assert!(said.contains(part), "{rest}: {said}");
    }
}

#[test]
fn temporary_database_errors_are_retried() {
    let home = directory();
    for message in [
        "the database system is starting up",
        "sorry, too many clients already",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "database \"canary\" is not currently accepting connections",
        "something of a later version about \"canary\"",
    ] {
        let url = format!("postgres://canary:canary@127.0.0.1:{}/canary", postgres_that_says(message, b'N'));
        let said = said_without_the_url(&migrate(home.path(), &url, "300ms"));
        assert!(said.contains("trying again"), "{message}: {said}");
        assert!(
            said.lines().last().unwrap().starts_with("mintage: cannot connect to PostgreSQL: "),
            "{said}"
        );
    }
    for place in ["canary.invalid", "127.0.0.1:1", "%2Fcanary"] {
        let url = format!("postgres://canary:canary@{place}/canary");
        let said = said_without_the_url(&migrate(home.path(), &url, "300ms"));
        assert!(said.contains("trying again"), "{place}: {said}");
    }
}

/// With the answers of a real PostgreSQL, over its socket.
#[test]
fn a_database_or_role_that_does_not_exist_is_named_as_such() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let url = url.expose();
    let name = url.split_once("///").unwrap().1.split('?').next().unwrap();
    let said = said_without_the_url(&migrate(home.path(), &url.replacen(name, "canary", 1), "10m"));
    assert!(said.lines().count() == 1 && said.contains("database in DATABASE_URL does"), "{said}");
    let said = said_without_the_url(&migrate(home.path(), &url.replace("mintage_server", "canary"), "10m"));
    assert!(said.lines().count() == 1 && said.contains("user"), "{said}");
}

#[test]
fn a_standby_is_waited_for_and_named_as_such() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let name = url.expose().split_once("///").unwrap().1.split('?').next().unwrap();
    let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.connect().batch_execute(&set).unwrap();
    let said = said_without_the_url(&migrate(home.path(), url.expose(), "1s"));
    assert!(said.contains("trying again") && said.contains("is read-only, as a standby is"), "{said}");
}

#[test]
fn a_start_that_meets_a_lock_names_its_holder_and_ends() {
    let (home, database) = (directory(), Database::create());
    let url = database.owner_url();
    for (table, command) in
        [("signing_keys", &[] as &[&str]), ("__diesel_schema_migrations", &["check-config", "--database"])]
    {
        let mut holder = database.connect();
        let lock = format!("SET application_name = 'an operator'; BEGIN; LOCK TABLE {table}");
        holder.batch_execute(&lock).unwrap();
        let error = fail(mintage(home.path(), &[("DATABASE_URL", url.expose())]).args(command));
        let last = error.lines().last().unwrap();
        assert!(last.starts_with("mintage: ") && last.contains(table), "{error}");
        assert!(last.contains("an operator") && last.contains("pid "), "{error}");
        assert_eq!(error.lines().filter(|line| line.contains("INFO waiting")).count(), 1, "{error}");
    }
}

#[test]
fn a_start_waits_for_the_migrations_of_another_server_and_reports_it() {
    let (home, database) = (directory(), Database::create());
    let mut holder = database.connect();
    // The number that stands in src/db/migrate.rs.
    holder.batch_execute("SELECT pg_advisory_lock(x'006d696e74616765'::bigint)").unwrap();
    let url = database.owner_url();
    let mut command = mintage(home.path(), &[("DATABASE_URL", url.expose())]);
    let mut child = command.arg("migrate").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("waiting") && line.contains("migrations") && line.contains("INFO"), "{line}");
    holder.batch_execute("SELECT pg_advisory_unlock_all()").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(lines.count(), 0, "one line is enough");
}

#[test]
fn a_database_that_cannot_be_reached_is_tried_for_a_while() {
    let home = directory();
    let settings = [("DATABASE_URL", "postgres://x:secret@127.0.0.1:1/x"), ("DATABASE_CONNECT_WAIT", "2s")];
    let error = fail(&mut mintage(home.path(), &settings));
    assert!(error.contains("trying again"), "{error}");
    assert!(error.lines().last().unwrap().starts_with("mintage: "), "{error}");
    assert!(!error.contains("secret"), "{error}");
}
