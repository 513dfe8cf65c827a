//! Commands after a loss: a database restored from a dump, a secret key that is gone.

use std::{fs, path::Path};

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::support::{
    App, Client, Database, PASSWORD, SECRET_KEY,
    binary::{Server, directory, fail, mintage, succeed},
    eventually,
};

const DUMP: &str = "CREATE SCHEMA dump; CREATE TABLE dump.sessions AS TABLE sessions; \
                    CREATE TABLE dump.refresh_tokens AS TABLE refresh_tokens; \
                    CREATE TABLE dump.blocklist AS TABLE blocklist";
const RESTORE: &str = "DELETE FROM sessions; DELETE FROM blocklist; \
                       INSERT INTO sessions SELECT * FROM dump.sessions; \
                       INSERT INTO refresh_tokens SELECT * FROM dump.refresh_tokens; \
                       INSERT INTO blocklist SELECT * FROM dump.blocklist";

/// Both tokens of the client are refused there.
async fn assert_refused(client: &Client, base: &str) {
    let mut client = client.on(base);
    let refused = async || client.get("/api/v1/user").await.status == 401;
    eventually("refusal of the access token", refused).await;
    client.get("/api/v1/user").await.assert_problem(401, "invalid-token");
    client.refresh().await.assert_problem(401, "invalid-refresh-token");
}

fn end_sessions(app: &App, arguments: &[&str]) -> String {
    let (home, url) = (directory(), app.database().url());
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    succeed(mintage(home.path(), &settings).args(["sessions", "end"]).args(arguments))
}

#[tokio::test]
async fn refreshing_after_a_restore_is_no_reuse() {
    let app = App::start();
    let mut client = app.confirmed_user().await;
    app.sql().batch_execute(DUMP).unwrap();
    let at_the_dump = client.clone();
    client.refresh().await.assert(200);
    client.refresh().await.assert(200);
    app.sql().batch_execute(RESTORE).unwrap();
    let restored = app.replica();
    let newest = client.refresh_token.clone().unwrap();
    for _ in 0..2 {
        let refused = restored.anyone().refresh_with(&newest).await;
        refused.assert_problem(401, "invalid-refresh-token");
    }
    assert!(restored.mails_to(&client.email).await.is_empty(), "a mail about reuse went out");
    // The session goes on for a client that has the token of the dump.
    at_the_dump.on(&restored.base).refresh().await.assert(200);
}

#[tokio::test]
async fn after_a_restore_one_command_makes_every_earlier_token_invalid() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    app.sql().batch_execute(DUMP).unwrap();
    bob.post_empty("/api/v1/auth/logout").await.assert(204);
    let unknown = app.login(&ada.email).await;
    app.sql().batch_execute(RESTORE).unwrap();
    // Both servers have lost what happened since the dump: one at its start, the other while it runs.
    let (one, two) = (app.replica(), app.replica());
    bob.on(&one.base).get("/api/v1/user").await.assert(200);
    unknown.on(&one.base).get("/api/v1/user").await.assert(200);

    let said = end_sessions(&app, &["--all"]);
    assert!(said.contains("ended 2 sessions") && said.contains("signing keys"), "{said}");
    for server in [&one, &two] {
        for client in [&ada, &bob, &unknown] {
            assert_refused(client, &server.base).await;
        }
    }
    assert_refused(&bob, &app.replica().base).await;
    for server in [&one, &two] {
        let mut again = server.login(&ada.email).await;
        again.refresh().await.assert(200);
        for server in [&one, &two] {
            again.on(&server.base).get("/api/v1/user").await.assert(200);
        }
        let list = again.get("/api/v1/auth/sessions").await.assert(200).json();
        assert!(list["data"].as_array().unwrap().len() <= 2, "the old ones are gone: {list}");
    }
    assert!(end_sessions(&app, &["--all"]).contains("ended 2 sessions"));
    assert!(end_sessions(&app, &["--all"]).contains("ended 0 sessions"));
}

#[tokio::test]
async fn thousands_of_sessions_end_and_those_of_one_user_can_end_alone() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    let ada_elsewhere = app.login(&ada.email).await;
    let said = end_sessions(&app, &["--user", &ada.email.to_uppercase()]);
    assert!(said.contains("ended 2 sessions"), "{said}");
    for client in [&ada, &ada_elsewhere] {
        eventually("refusal", async || client.get("/api/v1/user").await.status == 401).await;
        client.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    }
    bob.get("/api/v1/user").await.assert(200);

    app.sql()
        .batch_execute(
            "INSERT INTO sessions (id, user_id, remember, access_expires_at, refresh_expires_at, \
             expires_at, created_at, last_seen_at) SELECT gen_random_uuid(), user_id, remember, \
             access_expires_at, refresh_expires_at, expires_at, created_at, last_seen_at \
             FROM sessions, generate_series(1, 2500)",
        )
        .unwrap();
    let said = end_sessions(&app, &["--all"]);
    assert!(said.contains("ended 2501 sessions"), "{said}");
    assert_refused(&bob, &app.base).await;
}

#[test]
fn ending_sessions_needs_a_user_or_all() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    for (arguments, part) in [
        (&[] as &[&str], "--all"),
        (&["--all", "--user", "ada@example.com"], "cannot be used with"),
        (&["--user", "nonsense"], "not an email address"),
        (&["--user", "ada@example.com"], "no account"),
    ] {
        let error = fail(mintage(home.path(), &settings).args(["sessions", "end"]).args(arguments));
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}

fn key_file(home: &Path) -> std::path::PathBuf {
    home.join(".mintage/secret.key")
}

#[track_caller]
fn assert_one_line(error: &str, parts: &[&str]) {
    assert_eq!(error.lines().count(), 1, "{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}

async fn log_in(server: &Server) -> Client {
    let mut client = server.client();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    client.take(&client.post("/api/v1/auth/login", &body).await.assert(200).json());
    client
}

/// Deletes `secret.key` of a server with these settings and asserts how it can be replaced.
async fn lose_the_secret_key(home: &Path, settings: &[(&str, &str)]) {
    let mut server = Server::start(home, settings);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    server.client().post("/api/v1/auth/register", &body).await.assert(201);
    let before = log_in(&server).await;
    assert!(server.stop().success());

    let kept = fs::read(key_file(home)).unwrap();
    fs::remove_file(key_file(home)).unwrap();
    for command in [&[] as &[&str], &["keys", "rotate", "--hurry"]] {
        let error = fail(mintage(home, settings).args(command));
        assert_one_line(&error, &["secret.key is missing", "backup", "mintage sessions end --all"]);
        assert!(!key_file(home).exists(), "no new key is made");
    }
    for (text, part) in [("", "is empty"), ("short", "too short")] {
        fs::write(key_file(home), text).unwrap();
        let error = fail(&mut mintage(home, settings));
        assert_one_line(&error, &["secret.key", part, "backup", "mintage sessions end --all"]);
        assert_eq!(error.matches(part).count(), 1, "it is said twice: {error}");
    }
    // With the old key everything is as before.
    fs::write(key_file(home), kept).unwrap();
    let mut server = Server::start(home, settings);
    before.on(&server.base).get("/api/v1/user").await.assert(200);
    assert!(server.stop().success());

    fs::remove_file(key_file(home)).unwrap();
    assert!(succeed(mintage(home, settings).args(["sessions", "end", "--all"])).contains("ended 1 session"));
    let server = Server::start(home, settings);
    assert_refused(&before, &server.base).await;
    log_in(&server).await.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn a_lost_secret_key_of_the_embedded_database_is_named_and_can_be_replaced() {
    lose_the_secret_key(directory().path(), &[("PUBLIC_URL", "http://mintage.test")]).await;
}

#[tokio::test]
async fn a_lost_secret_key_of_another_database_is_named_and_can_be_replaced() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let settings = [("PUBLIC_URL", "http://mintage.test"), ("DATABASE_URL", url.expose())];
    lose_the_secret_key(home.path(), &settings).await;
}

#[tokio::test]
async fn a_database_without_signing_keys_misses_no_secret_key() {
    let home = directory();
    succeed(mintage(home.path(), &[]).arg("migrate"));
    succeed(mintage(home.path(), &[]).args(["create-admin", "--email", "root@example.com"]));
    assert!(!key_file(home.path()).exists());
    Server::start(home.path(), &[]).client().get("/readyz").await.assert(200);
    assert!(key_file(home.path()).exists());
}

#[tokio::test]
async fn with_a_lost_secret_key_in_production_one_command_begins_with_a_new_one() {
    let (home, database) = (directory(), Database::empty());
    let url = database.owner_url();
    let with = |key| [("DATABASE_URL", url.expose()), ("SECRET_KEY", key)];
    let (old, new) = ("0123456789abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba9876543210");
    drop(Server::start(home.path(), &with(old)));
    let error = fail(mintage(home.path(), &with(new)).args(["keys", "rotate", "--hurry"]));
    assert_one_line(&error, &["another SECRET_KEY", "new,old", "mintage sessions end --all"]);
    succeed(mintage(home.path(), &with(new)).args(["sessions", "end", "--all"]));
    Server::start(home.path(), &with(new)).client().get("/readyz").await.assert(200);
    assert!(fail(&mut mintage(home.path(), &with(old))).contains("another SECRET_KEY"));
}
