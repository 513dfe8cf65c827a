//! `mintage audit verify` on a trail that was tampered with.

use std::time::Duration;

use diesel::connection::SimpleConnection;

use crate::support::{
    App, Database, SECRET_KEY,
    binary::{Server, directory, mintage, run, stdout, succeed},
    eventually,
};

/// An app with eight sealed events.
async fn with_events() -> App {
    let app = App::start();
    let user = app.user().await;
    for _ in 0..6 {
        app.login(&user.email).await;
    }
    let unsealed = "SELECT count(*) FROM security_events WHERE seq IS NULL";
    eventually("all events are sealed", async || app.count(unsealed) == 0).await;
    assert_eq!(app.count("SELECT count(*) FROM security_events"), 8);
    app
}

/// Changes the trail as a superuser who knows of the trigger.
fn tamper(database: &Database, statement: &str) {
    let off = "ALTER TABLE security_events DISABLE TRIGGER USER";
    let on = "ALTER TABLE security_events ENABLE TRIGGER USER";
    database.connect().batch_execute(&format!("BEGIN; {off}; {statement}; {on}; COMMIT")).unwrap();
}

fn arguments(head: Option<&str>) -> Vec<&str> {
    let mut arguments = vec!["audit", "verify"];
    arguments.extend(head.map(|head| ["--head", head]).into_iter().flatten());
    arguments
}

fn verify(app: &App, head: Option<&str>) -> String {
    let (home, url) = (directory(), app.database().url());
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    succeed(mintage(home.path(), &settings).args(arguments(head)))
}

fn verify_fails(app: &App, head: Option<&str>) -> String {
    let (home, url) = (directory(), app.database().url());
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    let output = run(mintage(home.path(), &settings).args(arguments(head)));
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    stdout(&output)
}

/// The line that a verification prints of the newest event.
fn head(printed: &str) -> String {
    let line = printed.lines().find_map(|line| line.strip_prefix("newest event: "));
    line.unwrap_or_else(|| panic!("no newest event: {printed}")).to_owned()
}

#[tokio::test]
async fn an_untouched_trail_holds_and_contains_its_earlier_head() {
    let app = with_events().await;
    let printed = verify(&app, None);
    assert!(printed.contains("8 events verified"), "{printed}");
    let head = head(&printed);
    assert!(head.starts_with("8:"), "{head}");
    app.user().await;
    assert!(verify(&app, Some(&head)).contains("newest event: "));
}

#[tokio::test]
async fn changed_deleted_and_inserted_events_are_found() {
    let tampered = [
        ("UPDATE security_events SET kind = 'logged-out' WHERE seq = 3", "event 3 "),
        ("UPDATE security_events SET at = at + interval '1 second' WHERE seq = 4", "event 4 "),
        ("UPDATE security_events SET user_id = gen_random_uuid() WHERE seq = 5", "event 5 "),
        ("UPDATE security_events SET address = '192.0.2.1' WHERE seq = 2", "event 2 "),
        ("UPDATE security_events SET details = '{\"a\": 1}' WHERE seq = 2", "event 2 "),
        ("DELETE FROM security_events WHERE seq = 4", "event 4 is missing"),
        ("DELETE FROM security_events WHERE seq BETWEEN 3 AND 5", "events 3 to 5 are missing"),
        ("DELETE FROM security_events WHERE seq = 1", "event 1 is missing"),
        ("DELETE FROM security_events WHERE seq > 6", "events 7 to 8 are missing"),
        ("DELETE FROM security_events", "events 1 to 8 are missing"),
        ("UPDATE audit_chains SET last_seq = 6", "the ends of chain"),
        (
            "UPDATE security_events SET erased_at = now(), salt = NULL, address = NULL, user_agent = NULL, details = '{}' \
             WHERE seq = 3",
            "event 3 (logged-in) was erased",
        ),
        (
            "UPDATE security_events SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4); \
             UPDATE security_events SET seq = -seq WHERE seq < 0",
            "event 3 ",
        ),
    ];
    for (statement, expected) in tampered {
        let app = with_events().await;
        tamper(app.database(), statement);
        let printed = verify_fails(&app, None);
        assert!(printed.contains(expected), "{statement}: {printed}");
    }
}

#[tokio::test]
async fn events_that_were_cut_off_with_an_old_end_are_missed_by_the_noted_head() {
    let app = with_events().await;
    let old_end = "CREATE TABLE old_end AS TABLE audit_chains";
    app.sql().batch_execute(old_end).unwrap();
    app.user().await;
    let unsealed = "SELECT count(*) FROM security_events WHERE seq IS NULL";
    eventually("all events are sealed", async || app.count(unsealed) == 0).await;
    let noted = head(&verify(&app, None));
    tamper(
        app.database(),
        "DELETE FROM security_events WHERE seq > 8; UPDATE audit_chains SET last_seq = old_end.last_seq, \
         last_hash = old_end.last_hash, mac = old_end.mac FROM old_end",
    );
    assert!(verify(&app, None).contains("8 events verified"), "it cannot be seen from inside");
    let printed = verify_fails(&app, Some(&noted));
    assert!(printed.contains("are missing"), "{printed}");
}

#[tokio::test]
async fn events_whose_key_is_lost_are_deleted_when_they_are_old() {
    let app = with_events().await;
    let (home, url) = (directory(), app.database().url());
    let lost =
        [("DATABASE_URL", url.expose()), ("SECRET_KEY", "another-secret-key-of-32-characters-or-more")];
    succeed(mintage(home.path(), &lost).args(["sessions", "end", "--all"]));
    app.clock.advance(Duration::from_hours(401 * 24));
    let old = "SELECT count(*) FROM security_events WHERE chain = 1";
    eventually("the events of the first chain are deleted", async || app.count(old) == 0).await;
}

#[tokio::test]
async fn no_server_seals_events_behind_ends_that_were_changed() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    let log = tempfile::NamedTempFile::new().unwrap();
    let server = Server::start_logging_to(log.reopen().unwrap().into(), home.path(), &settings);
    let unsealed = "SELECT count(*) FROM security_events WHERE seq IS NULL";
    for number in 0..3 {
        server.register(&format!("{number}@example.com")).await;
    }
    eventually("all events are sealed", async || database.count(unsealed) == 0).await;
    // Both are allowed to the role of the server.
    let pruned = "UPDATE audit_chains SET pruned_seq = 2, \
                  pruned_hash = (SELECT hash FROM security_events WHERE seq = 2); \
                  DELETE FROM security_events WHERE seq <= 2";
    database.connect_as_server().batch_execute(&format!("BEGIN; {pruned}; COMMIT")).unwrap();
    server.register("later@example.com").await;
    eventually("the log says so", async || {
        let text = std::fs::read_to_string(log.path()).unwrap();
        text.contains("the ends of the audit trail were changed in the database")
    })
    .await;
    assert_eq!(database.count(unsealed), 1);
    let output = run(mintage(home.path(), &settings).args(arguments(None)));
    assert!(stdout(&output).contains("the ends of chain 1 were changed"), "{}", stdout(&output));
    // The way on: another chain. The fault of the first one stays.
    succeed(mintage(home.path(), &settings).args(["sessions", "end", "--all"]));
    eventually("all events are sealed", async || database.count(unsealed) == 0).await;
    let output = run(mintage(home.path(), &settings).args(arguments(None)));
    assert!(stdout(&output).contains("the ends of chain 1 were changed"), "{}", stdout(&output));
}
