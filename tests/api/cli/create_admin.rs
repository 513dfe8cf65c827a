//! `mintage create-admin`.

use std::{fs, io::Write, process::Stdio};

use serde_json::json;

use crate::support::{
    Client, Database, Mailbox, PASSWORD,
    binary::{Server, directory, fail, mintage, succeed},
    eventually,
};

/// This user, by a new API key.
async fn with_api_key(user: &Client) -> Client {
    let key = json!({"name": "bot", "scopes": ["coins:read"]});
    let key = user.post("/api/v1/user/api-keys", &key).await.assert(201).json();
    user.bearing(key["key"].as_str().unwrap())
}

/// A stranger changes an account to the address of the operator, who confirms because a mail of the product is expected.
/// The stranger could then undo the change and own an admin's account.
#[tokio::test]
async fn promoting_an_account_locks_out_the_stranger_who_created_it() {
    let (home, mailbox) = (directory(), Mailbox::new());
    let mails = mailbox.directory();
    let server = Server::start(home.path(), &[("MAIL_TRANSPORT", "file"), ("MAIL_DIR", &mails)]);
    let post = async |client: &Client, path: &str, body: serde_json::Value| {
        client.post(&format!("/api/v1/auth/{path}"), &body).await
    };
    let anyone = server.client();
    let (evil, root) = ("mallory@evil.example", "root@corp.example");
    let own = json!({"email": evil, "password": PASSWORD, "username": "mallory", "name": "Mallory"});
    post(&anyone, "register", own).await.assert(201);
    post(&anyone, "confirm/resend", json!({"email": evil})).await.assert(202);
    let proof = json!({"token": mailbox.next(evil).await.token(), "password": PASSWORD});
    post(&anyone, "confirm", proof).await.assert(200);
    let mut stranger = server.log_in(evil).await;
    let key = with_api_key(&stranger).await;
    assert_eq!(mailbox.next(evil).await.subject, "A new API key for your account");
    post(&stranger, "email/change", json!({"new_email": root, "password": PASSWORD})).await.assert(202);
    post(&anyone, "email/change/confirm", json!({"token": mailbox.next(root).await.token()}))
        .await
        .assert(200);
    let undo = mailbox.next(evil).await;
    post(&stranger, "email/change", json!({"new_email": "m2@evil.example", "password": PASSWORD}))
        .await
        .assert(202);
    let pending = mailbox.next("m2@evil.example").await;
    post(&anyone, "password/forgot", json!({"email": root})).await.assert(202);
    let reset = mailbox.next(root).await;

    let create = ["create-admin", "--email", root];
    let refused = fail(mintage(home.path(), &[]).args(create));
    let today =
        chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).format("%B %Y").to_string();
    let says = |text: &str| refused.contains(text);
    assert!(says(&today) && says("--force") && says("undoes"), "{refused}");
    stranger.get("/api/v1/user").await.assert(200);
    let promoted = succeed(mintage(home.path(), &[]).args(create).arg("--force"));
    let password = generated_password(&promoted);
    eventually("the key is revoked", async || key.get("/api/v1/coins").await.status == 401).await;

    for (path, body) in [
        ("email/change/undo", json!({"token": undo.token()})),
        ("email/change/confirm", json!({"token": pending.token()})),
        ("password/reset", json!({"token": reset.token(), "new_password": "the stranger's own"})),
    ] {
        post(&anyone, path, body).await.assert_problem(422, "invalid-code");
    }
    for body in [
        json!({"email": evil, "password": PASSWORD}),
        json!({"email": root, "password": PASSWORD}),
        json!({"username": "mallory", "password": PASSWORD}),
        json!({"username": "mallory", "password": password}),
    ] {
        post(&anyone, "login", body).await.assert_problem(401, "invalid-credentials");
    }
    stranger.refresh().await.assert_problem(401, "invalid-refresh-token");
    eventually("the end of the old session", async || stranger.get("/api/v1/user").await.status == 401).await;
    let mut admin = server.client();
    admin
        .take(&post(&anyone, "login", json!({"email": root, "password": password})).await.assert(200).json());
    let user = admin.get("/api/v1/user").await.assert(200).json();
    assert_eq!((&user["role"], &user["email"]), (&json!("admin"), &json!(root)));
    assert_eq!((&user["name"], &user["username"]), (&json!(null), &json!(null)));
    // The former address is free, and not this account's.
    post(&anyone, "register", json!({"email": evil, "password": PASSWORD})).await.assert(201);
    let id = server.log_in(evil).await.get("/api/v1/user").await.json()["id"].clone();
    assert_ne!(id, user["id"]);
    // Once promoted, the operator may give another password without --force.
    succeed(mintage(home.path(), &[]).args(create));
}

#[tokio::test]
async fn an_admin_may_have_an_address_that_is_reserved_for_another_account() {
    let (home, mailbox) = (directory(), Mailbox::new());
    let mails = mailbox.directory();
    let server = Server::start(home.path(), &[("MAIL_TRANSPORT", "file"), ("MAIL_DIR", &mails)]);
    let (old, new) = ("root@corp.example", "elsewhere@example.com");
    server.register(old).await;
    let anyone = server.client();
    anyone.post("/api/v1/auth/confirm/resend", &json!({"email": old})).await.assert(202);
    let proof = json!({"token": mailbox.next(old).await.token(), "password": PASSWORD});
    anyone.post("/api/v1/auth/confirm", &proof).await.assert(200);
    let user = server.log_in(old).await;
    let change = json!({"new_email": new, "password": PASSWORD});
    user.post("/api/v1/auth/email/change", &change).await.assert(202);
    let proof = json!({"token": mailbox.next(new).await.token()});
    anyone.post("/api/v1/auth/email/change/confirm", &proof).await.assert(200);
    let undo = json!({"token": mailbox.next(old).await.token()});
    let body = json!({"email": old, "password": PASSWORD});
    anyone.post("/api/v1/auth/register", &body).await.assert_problem(409, "email-taken");

    let created = succeed(mintage(home.path(), &[]).args(["create-admin", "--email", old]));
    let id = user.get("/api/v1/user").await.json()["id"].as_str().unwrap().to_owned();
    assert!(created.contains(&format!("the account {id}, which had this address before")), "{created}");
    anyone.post("/api/v1/auth/email/change/undo", &undo).await.assert_problem(422, "invalid-code");
    assert_eq!(user.get("/api/v1/user").await.assert(200).json()["email"], new);
}

#[test]
fn a_bad_password_for_an_admin_is_refused() {
    let database = Database::create();
    let home = directory();
    let settings = [("DATABASE_URL", database.url())];
    let settings: Vec<_> = settings.iter().map(|(name, url)| (*name, url.expose())).collect();
    let mut command = mintage(home.path(), &settings);
    command.args(["create-admin", "--email", "root@example.com", "--password-stdin"]);
    assert!(fail(&mut command).contains("at least 8 characters"));
    let file = home.path().join("password");
    fs::write(&file, "Mintage2026\n").unwrap();
    let error = fail(command.stdin(fs::File::open(file).unwrap()));
    assert!(error.contains("must not be the name or the address of this service"), "{error}");
    let mut command = mintage(home.path(), &settings);
    assert!(fail(command.args(["create-admin", "--email", "nonsense"])).contains("not an email address"));
}

#[tokio::test]
async fn an_admin_is_created_with_a_given_or_a_generated_password() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    let mut create = mintage(home.path(), &[]);
    create.args(["create-admin", "--email", "root@example.com", "--password-stdin"]).stdin(Stdio::piped());
    let mut child = create.stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());
    server.log_in("root@example.com").await.get("/api/v1/users").await.assert(200);

    let generated = succeed(mintage(home.path(), &[]).args(["create-admin", "--email", "ops@example.com"]));
    let body = json!({"email": "ops@example.com", "password": generated_password(&generated)});
    server.client().post("/api/v1/auth/login", &body).await.assert(200);
}

/// Registering an address first must not make anybody an admin.
#[tokio::test]
async fn an_account_that_becomes_an_admin_gets_a_new_password_and_loses_its_sessions() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    server.register("ada@example.com").await;
    let user = server.log_in("ada@example.com").await;
    let promoted = succeed(mintage(home.path(), &[]).args(["create-admin", "--email", "ADA@example.com"]));
    assert!(promoted.contains("is an admin now, with a new password"), "{promoted}");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    server.client().post("/api/v1/auth/login", &body).await.assert(401);
    let body = json!({"email": "ada@example.com", "password": generated_password(&promoted)});
    let mut client = server.client();
    client.take(&client.post("/api/v1/auth/login", &body).await.assert(200).json());
    client.get("/api/v1/users").await.assert(200);
    eventually("the end of the old session", async || user.get("/api/v1/user").await.status == 401).await;
}

/// The password that the command prints, once.
fn generated_password(output: &str) -> &str {
    output.lines().find_map(|line| line.strip_prefix("password: ")).unwrap()
}
