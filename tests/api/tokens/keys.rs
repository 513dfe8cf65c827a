//! Revoking signing keys, which may have been stolen.

use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::Text};
use mintage::{
    config::{Secret, SecretKey, SigningAlgorithm},
    tokens::{self, KeyRing, KeyState, Revoked, Sealer},
};
use serde_json::json;

use crate::support::{App, Client, SECRET_KEY, eventually};

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn sealer() -> Sealer {
    Sealer::new(&SecretKey { current: secret(SECRET_KEY), previous: None })
}

fn revoke(app: &App, kid: &str) -> Revoked {
    tokens::revoke(&mut app.sql(), &sealer(), kid, app.clock.now()).unwrap()
}

/// The id of the key that signed it.
fn kid_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

fn kid_in(app: &App, state: KeyState) -> String {
    let keys = tokens::list_keys(&mut app.sql()).unwrap();
    keys.into_iter().find(|key| key.state == state).unwrap().kid
}

async fn published(app: &App) -> Vec<String> {
    let jwks = app.anyone().get("/.well-known/jwks.json").await.assert(200).json();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn until_unpublished(apps: &[&App], kid: &str) {
    for app in apps {
        eventually("the new key set", async || !published(app).await.contains(&kid.to_owned())).await;
    }
}

/// Neither token of the client is good anywhere.
async fn assert_refused(apps: &[&App], client: &Client) {
    for app in apps {
        let client = client.on(&app.base);
        client.get("/api/v1/user").await.assert_problem(401, "invalid-token");
        client.post("/api/v1/auth/logout", &json!({})).await.assert_problem(401, "invalid-token");
        let token = client.refresh_token.as_ref().unwrap();
        client.refresh_with(token).await.assert_problem(401, "invalid-refresh-token");
    }
}

#[tokio::test]
async fn what_a_revoked_current_key_signed_is_refused_everywhere_and_the_next_one_signs() {
    let one = App::start();
    let two = one.replica();
    let apps = [&one, &two];
    let user = one.user().await;
    let stolen = kid_of(user.token());
    let next = kid_in(&one, KeyState::Next);
    let revoked = revoke(&one, &stolen);
    assert_eq!((revoked.state, revoked.signs_now.as_ref()), (KeyState::Current, Some(&next)));
    until_unpublished(&apps, &stolen).await;
    assert_refused(&apps, &user).await;
    for app in apps {
        let again = app.login(&user.email).await;
        assert_eq!(kid_of(again.token()), next);
        let keys = published(app).await;
        assert!(keys.len() == 2 && keys.contains(&next), "a new next key is published: {keys:?}");
        for app in apps {
            let mut again = again.on(&app.base);
            again.get("/api/v1/user").await.assert(200);
            again.refresh().await.assert(200);
        }
    }
    let restarted = one.replica();
    assert_refused(&[&restarted], &user).await;
}

#[tokio::test]
async fn a_revoked_next_key_never_signs() {
    let one = App::start();
    let two = one.replica();
    let mut user = one.user().await;
    let stolen = kid_in(&one, KeyState::Next);
    let revoked = revoke(&one, &stolen);
    assert_eq!((revoked.state, revoked.signs_now), (KeyState::Next, None));
    until_unpublished(&[&one, &two], &stolen).await;
    for app in [&one, &two] {
        user.on(&app.base).get("/api/v1/user").await.assert(200);
    }
    user.refresh().await.assert(200);
    let new = kid_in(&one, KeyState::Next);
    let signs = tokens::rotate(&mut one.sql(), &sealer(), one.clock.now(), true).unwrap();
    assert_eq!(signs, new);
    assert_ne!(signs, stolen);
}

#[tokio::test]
async fn only_sessions_not_refreshed_since_depend_on_a_retired_key() {
    let one = App::start();
    let two = one.replica();
    let (mut ada, bob) = (one.user().await, one.user().await);
    let stolen = kid_of(ada.token());
    let signs = tokens::rotate(&mut one.sql(), &sealer(), one.clock.now(), true).unwrap();
    eventually("signing by the new key", async || {
        ada.refresh().await.assert(200);
        kid_of(ada.token()) == signs
    })
    .await;
    let revoked = revoke(&one, &stolen);
    assert_eq!((revoked.state, revoked.signs_now), (KeyState::Retired, None));
    until_unpublished(&[&one, &two], &stolen).await;
    assert_refused(&[&one, &two], &bob).await;
    ada.on(&two.base).get("/api/v1/user").await.assert(200);
    ada.refresh().await.assert(200);
    assert_eq!(kid_of(ada.token()), signs);
}

#[tokio::test]
async fn an_unknown_key_is_an_error_and_changes_nothing() {
    let app = App::start();
    let before = published(&app).await;
    for kid in ["", "nonsense"] {
        let error = tokens::revoke(&mut app.sql(), &sealer(), kid, app.clock.now()).unwrap_err().to_string();
        assert!(error.contains("there is no signing key") && error.contains("mintage keys list"), "{error}");
    }
    let listed = tokens::list_keys(&mut app.sql()).unwrap();
    let listed: Vec<_> = listed.into_iter().map(|key| key.kid).collect();
    assert!(before.len() == 2 && listed.iter().all(|kid| before.contains(kid)), "{before:?} {listed:?}");
}

#[tokio::test]
async fn a_server_that_missed_a_revocation_applies_it_after_reconnecting() {
    let app = App::start();
    let user = app.user().await;
    let stolen = kid_of(user.token());
    let without_a_word = "DELETE FROM signing_keys WHERE kid = $1";
    sql_query(without_a_word).bind::<Text, _>(&stolen).execute(&mut app.sql()).unwrap();
    app.sql().batch_execute("UPDATE signing_keys SET state = 'current'").unwrap();
    user.get("/api/v1/user").await.assert(200);
    app.database().go_away();
    app.database().come_back();
    until_unpublished(&[&app], &stolen).await;
    let answers = async || {
        app.anyone()
            .post("/api/v1/auth/login", &json!({"email": "x@example.com", "password": "x"}))
            .await
            .status
            == 401
    };
    eventually("an answer of the database", answers).await;
    assert_refused(&[&app], &user).await;
}

#[tokio::test]
async fn a_server_that_cannot_read_the_keys_for_too_long_accepts_no_token() {
    let app = App::with(&[("TOKEN_MAX_STALENESS", "10s")]);
    let mut user = app.user().await;
    let mut conn = app.sql();
    conn.batch_execute("ALTER TABLE signing_keys RENAME TO hidden; NOTIFY mintage_signing_keys").unwrap();
    eventually("refusal", async || user.get("/api/v1/coins").await.status == 503).await;
    user.refresh().await.assert_problem(503, "unavailable");
    conn.batch_execute("ALTER TABLE hidden RENAME TO signing_keys").unwrap();
    eventually("recovery", async || user.get("/api/v1/coins").await.status == 200).await;
    user.refresh().await.assert(200);
}

#[tokio::test]
async fn a_server_with_the_old_secret_key_forgets_a_revoked_key_and_keeps_the_others() {
    let old = App::start();
    let user = old.user().await;
    let stolen = kid_of(user.token());
    let next = kid_in(&old, KeyState::Next);
    // As a replica with `SECRET_KEY=new,old` does at its start: it seals all keys with the new one.
    let new = secret("another secret key for the tests: 9876543210");
    let both = SecretKey { current: new, previous: Some(secret(SECRET_KEY)) };
    let mut conn = old.sql();
    KeyRing::load(&mut conn, Sealer::new(&both).into(), SigningAlgorithm::EdDsa).unwrap();
    tokens::revoke(&mut conn, &Sealer::new(&both), &stolen, old.clock.now()).unwrap();

    until_unpublished(&[&old], &stolen).await;
    assert_refused(&[&old], &user).await;
    let again = old.login(&user.email).await;
    assert_eq!(kid_of(again.token()), next);
    // Then comes a key that it cannot open: it goes on with one that it has.
    tokens::rotate(&mut conn, &Sealer::new(&both), old.clock.now(), true).unwrap();
    for _ in 0..5 {
        let mut again = old.login(&user.email).await;
        assert_eq!(kid_of(again.token()), next);
        again.refresh().await.assert(200);
    }
    // With no key at all that it can open, it issues nothing and accepts nothing.
    tokens::revoke(&mut conn, &Sealer::new(&both), &next, old.clock.now()).unwrap();
    until_unpublished(&[&old], &next).await;
    let body = json!({"email": user.email, "password": crate::support::PASSWORD});
    old.anyone().post("/api/v1/auth/login", &body).await.assert_problem(503, "unavailable");
    again.get("/api/v1/user").await.assert_problem(401, "invalid-token");
}

#[tokio::test]
async fn keys_are_not_changed_with_another_secret_key_than_theirs() {
    let app = App::start();
    let other = Sealer::new(&SecretKey {
        current: secret("another secret key for the tests: 9876543210"),
        previous: None,
    });
    let keys = |app: &App| {
        let keys = tokens::list_keys(&mut app.sql()).unwrap();
        keys.into_iter().map(|key| (key.kid, key.state)).collect::<Vec<_>>()
    };
    let before = keys(&app);
    let kid = kid_in(&app, KeyState::Current);
    let now = app.clock.now();
    let revoked = tokens::revoke(&mut app.sql(), &other, &kid, now).map(|_| ());
    let rotated = tokens::rotate(&mut app.sql(), &other, now, true).map(|_| ());
    for result in [revoked, rotated] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("another SECRET_KEY"), "{error}");
    }
    assert_eq!(keys(&app), before);
}
