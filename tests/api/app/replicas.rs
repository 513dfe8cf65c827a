//! Several servers on one database.

use crate::support::{App, SECRET_KEY, eventually};

#[tokio::test]
async fn a_token_of_one_server_is_valid_on_another() {
    let one = App::start();
    let two = one.replica();
    let user = one.user().await;
    user.on(&two.base).get("/api/v1/user").await.assert(200);
    let keys = async |app: &App| app.anyone().get("/.well-known/jwks.json").await.assert(200).json();
    assert_eq!(keys(&one).await, keys(&two).await);
}

#[tokio::test]
async fn a_logout_on_one_server_is_seen_on_another() {
    let one = App::start();
    let two = one.replica();
    let user = one.user().await;
    let elsewhere = user.on(&two.base);
    elsewhere.get("/api/v1/user").await.assert(200);
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
}

#[tokio::test]
async fn a_server_that_starts_later_knows_what_was_revoked_before() {
    let one = App::start();
    let user = one.user().await;
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    let two = one.replica();
    user.on(&two.base).get("/api/v1/user").await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn a_rotation_of_keys_causes_no_401_anywhere() {
    let one = App::start();
    let two = one.replica();
    let mut user = one.user().await;
    let before = one.anyone().get("/.well-known/jwks.json").await.json();
    let secret =
        mintage::config::SecretKey { current: mintage::config::Secret::new(SECRET_KEY), previous: None };
    let sealer = mintage::tokens::Sealer::new(&secret);
    let kid = mintage::tokens::rotate(&mut one.sql(), &sealer, one.clock.now(), true).unwrap();
    let published = before["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid.as_str());
    assert!(published, "the new key was published before it signs");

    let old = user.clone();
    eventually("signing by the new key", async || {
        user.refresh().await.assert(200);
        for client in [&user, &old] {
            client.get("/api/v1/user").await.assert(200);
            client.on(&two.base).get("/api/v1/user").await.assert(200);
        }
        jsonwebtoken::decode_header(user.token()).unwrap().kid.as_deref() == Some(kid.as_str())
    })
    .await;
}

#[tokio::test]
async fn replicas_that_start_together_on_an_empty_database_agree() {
    let one = App::start();
    let mut conn = one.sql();
    diesel::connection::SimpleConnection::batch_execute(
        &mut conn,
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
    )
    .unwrap();
    let (url, owner) = (one.database().url(), one.database().owner_url());
    let settings = [("DATABASE_URL", url.expose()), ("DATABASE_MIGRATION_URL", owner.expose())];
    let replicas: Vec<App> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| one.replica_with(&settings))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let user = replicas[0].user().await;
    for replica in &replicas {
        user.on(&replica.base).get("/api/v1/user").await.assert(200);
    }
}
