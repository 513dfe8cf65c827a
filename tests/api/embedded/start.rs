//! The embedded PostgreSQL through starts, crashes and restarts of the server.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::binary::{Server, directory, fail, kill_postgres, mintage, postmaster_pid};

#[tokio::test]
async fn the_first_start_needs_no_settings_and_prints_where_everything_is() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    for part in
        ["/apidocs/", ".mintage/postgres (embedded PostgreSQL, created)", "built-in demo data", "127.0.0.1:"]
    {
        assert!(server.welcome.contains(part), "{part} is missing in: {}", server.welcome);
    }
    server.client().get("/readyz").await.assert(200);
    let key = home.path().join(".mintage/secret.key");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.stop().success());
    assert!(!postmaster_pid(home.path()).exists(), "postgres was stopped with it");
}

#[tokio::test]
async fn kill_9_loses_nothing_and_the_next_start_adopts_the_running_postgres() {
    let home = directory();
    let settings = [("PUBLIC_URL", "http://mintage.test")];
    let mut server = Server::start(home.path(), &[]);
    server.register("ada@example.com").await;
    server.kill();
    assert!(postmaster_pid(home.path()).exists(), "postgres goes on");

    let mut server = Server::start(home.path(), &settings);
    assert!(server.welcome.contains("adopted"), "{}", server.welcome);
    let mut client = server.log_in("ada@example.com").await;
    server.kill();
    kill_postgres(home.path());
    assert!(postmaster_pid(home.path()).exists(), "the pid file is stale");

    let mut server = Server::start(home.path(), &settings);
    assert!(server.welcome.contains("recovered"), "{}", server.welcome);
    client = client.on(&server.base);
    client.get("/api/v1/user").await.assert(200);
    client.refresh().await.assert(200);
    assert!(server.stop().success());

    let server = Server::start(home.path(), &settings);
    assert!(server.welcome.contains("(embedded PostgreSQL, started)"), "{}", server.welcome);
}

#[tokio::test]
async fn when_postgres_dies_the_server_ends_and_the_next_start_recovers() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    server.register("ada@example.com").await;
    kill_postgres(home.path());
    assert!(!server.wait().success());
    let server = Server::start(home.path(), &[]);
    assert!(server.welcome.contains("recovered"), "{}", server.welcome);
    server.log_in("ada@example.com").await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_exits_with_an_error() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    let error = fail(&mut mintage(home.path(), &[]));
    assert!(error.contains("another mintage (pid "), "{error}");
    assert_eq!(error.lines().count(), 1);
    server.client().get("/readyz").await.assert(200);
}
