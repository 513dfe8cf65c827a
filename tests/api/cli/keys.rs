//! `mintage keys`, and the secret key that seals what it manages.

use crate::support::{
    Database,
    binary::{Server, directory, fail, mintage, succeed},
    eventually,
};

#[tokio::test]
async fn a_stolen_key_is_revoked_while_the_server_runs() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    server.register("ada@example.com").await;
    let mut ada = server.log_in("ada@example.com").await;
    let kid_in = |state: &str| {
        let list = succeed(mintage(home.path(), &[]).args(["keys", "list"]));
        let line = list.lines().find(|line| line.split_whitespace().nth(1) == Some(state)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let (stolen, next) = (kid_in("current"), kid_in("next"));
    let error = fail(mintage(home.path(), &[]).args(["keys", "revoke", "-nonsense"]));
    assert!(error.contains("there is no signing key \"-nonsense\""), "{error}");

    let said = succeed(mintage(home.path(), &[]).args(["keys", "revoke", "--", &stolen]));
    let signs = format!("{next} is the current key now");
    for part in [&format!("revoked {stolen}, which was the current key"), &signs, "log in again", "5 minutes"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(kid_in("current"), next);
    eventually("refusal", async || ada.get("/api/v1/user").await.status == 401).await;
    ada.refresh().await.assert_problem(401, "invalid-refresh-token");
    server.log_in("ada@example.com").await.get("/api/v1/user").await.assert(200);
    let error = fail(mintage(home.path(), &[]).args(["keys", "revoke", "--", &stolen]));
    assert!(error.contains("there is no signing key"), "{error}");
}

#[tokio::test]
async fn the_secret_key_can_be_rotated_and_a_foreign_one_is_refused() {
    let database = Database::empty();
    let home = directory();
    let url = database.owner_url();
    let (old, new) = ("0123456789abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba9876543210");
    let both = format!("{new},{old}");
    let with =
        |key| [("DATABASE_URL", url.expose()), ("PUBLIC_URL", "http://mintage.test"), ("SECRET_KEY", key)];
    let client = {
        let server = Server::start(home.path(), &with(old));
        server.register("ada@example.com").await;
        server.log_in("ada@example.com").await
    };
    let error = fail(&mut mintage(home.path(), &with(new)));
    assert!(error.contains("another SECRET_KEY"), "{error}");
    {
        let server = Server::start(home.path(), &with(&both));
        client.on(&server.base).get("/api/v1/user").await.assert(200);
    }
    let server = Server::start(home.path(), &with(new));
    client.on(&server.base).get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn keys_are_listed_and_rotated_while_the_server_runs() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    server.register("ada@example.com").await;
    let ada = server.log_in("ada@example.com").await;
    let before = succeed(mintage(home.path(), &[]).args(["keys", "list"]));
    assert!(before.contains("current") && before.contains("next"), "{before}");
    let error = fail(mintage(home.path(), &[]).args(["keys", "rotate"]));
    assert!(error.contains("--hurry"), "{error}");
    succeed(mintage(home.path(), &[]).args(["keys", "rotate", "--hurry"]));
    let after = succeed(mintage(home.path(), &[]).args(["keys", "list"]));
    assert!(after.contains("retired") && after.lines().count() == 3, "{after}");
    ada.get("/api/v1/user").await.assert(200);
}
