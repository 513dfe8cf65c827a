//! The signing algorithms, the change from one to another, and scheduled rotation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use mintage::{
    config::{Config, Secret, SecretKey, SigningAlgorithm},
    tokens::{self, KeyChange, KeyState, NewKey, Schedule, Sealer},
};
use serde_json::{Value, json};

use crate::support::{App, Client, PUBLIC_URL, SECRET_KEY, eventually};

const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];
const MINUTE: Duration = Duration::from_mins(1);
const LONG_TOKENS: (&str, &str) = ("ACCESS_TOKEN_TTL", "1d");

fn sealer() -> Sealer {
    Sealer::new(&SecretKey { current: Secret::new(SECRET_KEY), previous: None })
}

fn alg_of(token: &str) -> String {
    let header = BASE64.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["alg"].as_str().unwrap().to_owned()
}

async fn jwks(app: &App) -> Value {
    app.anyone().get("/.well-known/jwks.json").await.assert(200).json()
}

fn algs(jwks: &Value) -> Vec<String> {
    let mut algs: Vec<_> =
        jwks["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect();
    algs.sort();
    algs
}

/// What a service does that has this copy of the key set.
fn verify(jwks: &Value, token: &str) -> bool {
    let set: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let Some(jwk) = set.find(&header.kid.unwrap()) else {
        return false;
    };
    let alg: Algorithm = jwk.common.key_algorithm.unwrap().to_string().parse().unwrap();
    let mut validation = Validation::new(alg);
    validation.set_audience(&["mintage"]);
    validation.set_issuer(&[PUBLIC_URL]);
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).is_ok()
}

fn schedule(settings: &[(&str, &str)]) -> Schedule {
    let lookup =
        |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Schedule::new(&Config::from_lookup(&lookup, &mintage::app::specs()).unwrap().tokens)
}

/// What the housekeeping of a server with these settings does now.
fn keep_schedule(app: &App, settings: &[(&str, &str)]) -> Option<KeyChange> {
    let schedule = schedule(settings);
    let new = NewKey::generate(&sealer(), schedule.algorithm).unwrap();
    diesel::Connection::transaction(&mut app.sql(), |conn| {
        tokens::keep_schedule(conn, new, &schedule, app.clock.now())
    })
    .unwrap()
}

fn states(app: &App) -> Vec<(String, String)> {
    let keys = tokens::list_keys(&mut app.sql()).unwrap();
    keys.into_iter().map(|key| (key.state.as_str().to_owned(), key.algorithm)).collect()
}

fn count(app: &App, state: &str, algorithm: &str) -> usize {
    states(app).iter().filter(|(s, a)| s == state && a == algorithm).count()
}

#[tokio::test]
async fn tokens_of_each_algorithm_are_accepted_here_and_verified_by_the_key_set() {
    for algorithm in ALGORITHMS {
        let app = App::with(&[("JWT_ALGORITHM", algorithm)]);
        let mut user = app.user().await;
        assert_eq!(alg_of(user.token()), algorithm);
        assert_eq!(alg_of(user.refresh_token.as_ref().unwrap()), "HS256");
        let keys = jwks(&app).await;
        assert_eq!(algs(&keys), [algorithm; 2]);
        assert!(verify(&keys, user.token()));
        user.get("/api/v1/user").await.assert(200);
        user.refresh().await.assert(200);
        assert!(verify(&keys, user.token()));
        user.get("/api/v1/user").await.assert(200);
    }
}

#[tokio::test]
async fn a_token_that_names_another_algorithm_than_its_key_is_refused() {
    for algorithm in ALGORITHMS {
        let app = App::with(&[("JWT_ALGORITHM", algorithm)]);
        let user = app.user().await;
        let parts: Vec<_> = user.token().split('.').collect();
        let header: Value = serde_json::from_slice(&BASE64.decode(parts[0]).unwrap()).unwrap();
        let others = ["EdDSA", "ES256", "RS256", "PS256", "HS256", "ES384", "RS512", "none"];
        for other in others.iter().filter(|other| **other != algorithm) {
            let mut changed = header.clone();
            changed["alg"] = (*other).into();
            let changed = BASE64.encode(serde_json::to_vec(&changed).unwrap());
            for signature in [parts[2], ""] {
                let forged = format!("{changed}.{}.{signature}", parts[1]);
                user.bearing(&forged).get("/api/v1/user").await.assert_problem(401, "invalid-token");
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_the_algorithm_begins_when_all_servers_have_it_and_causes_no_401() {
    let one = App::with(&[LONG_TOKENS]);
    let mut user = one.user().await;
    let (old, before) = (user.clone(), jwks(&one).await);
    let es = [("JWT_ALGORITHM", "ES256")];
    // A deployment replaces one server after the other.
    let two = one.replica_with(&es);
    assert_eq!(keep_schedule(&two, &es), None, "one server still has the former setting");
    assert_eq!(keep_schedule(&one, &[]), None);
    assert_eq!(jwks(&one).await, before);
    two.login(&user.email).await;
    // The first tick of its housekeeping finds that all servers agree.
    drop(one);
    let three = two.replica_with(&es);
    eventually("the announcement", async || count(&three, "next", "ES256") == 1).await;
    for app in [&two, &three] {
        eventually("the new key set", async || algs(&jwks(app).await) == ["ES256", "EdDSA", "EdDSA"]).await;
        assert_eq!(alg_of(app.login(&user.email).await.token()), "EdDSA", "the new key does not sign yet");
    }
    let cached = jwks(&two).await;
    three.clock.advance(9 * MINUTE);
    assert_eq!(keep_schedule(&three, &es), None, "services may have a key set without the new key");
    three.clock.advance(2 * MINUTE);
    let four = three.replica_with(&es);
    eventually("the promotion", async || count(&four, "current", "ES256") == 1).await;
    let apps = [&two, &three, &four];
    for app in apps {
        eventually("a token of the new algorithm", async || {
            alg_of(app.login(&user.email).await.token()) == "ES256"
        })
        .await;
    }
    let new = four.login(&user.email).await;
    assert!(verify(&cached, new.token()), "the key was in the key set before it signed");
    assert_eq!(count(&four, "next", "ES256"), 1);
    for app in apps {
        for client in [&old, &user, &new] {
            client.on(&app.base).get("/api/v1/user").await.assert(200);
        }
        assert!(verify(&jwks(app).await, old.token()));
    }
    user = user.on(&four.base);
    user.refresh().await.assert(200);
    assert_eq!(alg_of(user.token()), "ES256");
    user.on(&two.base).get("/api/v1/user").await.assert(200);
    assert_eq!(keep_schedule(&four, &es), None, "the ring has come to rest");
    let changes =
        "SELECT count(*) FROM security_events WHERE kind = 'signing-keys-rotated' AND actor = 'server'";
    assert_eq!(four.count(changes), 2);
}

#[tokio::test]
async fn servers_with_different_settings_do_not_take_turns() {
    let ed = App::start();
    let rs = ed.replica_with(&[("JWT_ALGORITHM", "ES256")]);
    let before = states(&ed);
    for _ in 0..5 {
        assert_eq!(keep_schedule(&rs, &[("JWT_ALGORITHM", "ES256")]), None);
        assert_eq!(keep_schedule(&ed, &[]), None);
        ed.clock.advance(20 * MINUTE);
    }
    assert_eq!(states(&ed), before);
    // The rotation by age goes on, with the algorithm that the ring has.
    ed.clock.advance(Duration::from_hours(100 * 24));
    let change = keep_schedule(&rs, &[("JWT_ALGORITHM", "ES256"), ("JWT_KEY_ROTATION", "90d")]);
    assert_eq!(change, None, "a server with the other setting has no key of the right algorithm to publish");
    assert!(matches!(keep_schedule(&ed, &[]), Some(KeyChange::Promoted(_))));
    assert!(states(&ed).iter().all(|(_, algorithm)| algorithm == "EdDSA"));
}

#[tokio::test]
async fn the_commands_keep_the_algorithm_of_the_ring() {
    let app = App::with(&[("JWT_ALGORITHM", "ES256")]);
    let now = app.clock.now();
    tokens::rotate(&mut app.sql(), &sealer(), now, true).unwrap();
    for state in [KeyState::Current, KeyState::Next, KeyState::Retired] {
        let keys = tokens::list_keys(&mut app.sql()).unwrap();
        let kid = keys.into_iter().find(|key| key.state == state).unwrap().kid;
        tokens::revoke(&mut app.sql(), &sealer(), &kid, now).unwrap();
    }
    tokens::end_all(&mut app.sql(), &sealer(), now).unwrap();
    assert_eq!(
        (count(&app, "current", "ES256"), count(&app, "next", "ES256"), states(&app).len()),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn many_servers_that_rotate_at_once_rotate_once() {
    let app = App::start();
    app.clock.advance(Duration::from_hours(91 * 24));
    let changes: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| keep_schedule(&app, &[]))).collect();
        all.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(states(&app).len(), 3);
}

#[tokio::test]
async fn a_server_that_cannot_decrypt_the_keys_adds_none() {
    let app = App::start();
    diesel::connection::SimpleConnection::batch_execute(
        &mut app.sql(),
        "UPDATE signing_keys SET private_key = decode('00', 'hex') WHERE state = 'next'",
    )
    .unwrap();
    let ring = tokens::KeyRing::load(&mut app.sql(), sealer().into(), SigningAlgorithm::EdDsa);
    assert!(ring.is_err());
}

#[tokio::test]
async fn the_key_set_may_be_cached_for_half_the_time_that_a_key_waits() {
    let app = App::start();
    let first = app.anyone().get("/.well-known/jwks.json").await.assert(200);
    let max_age: u64 =
        first.header("cache-control").strip_prefix("public, max-age=").unwrap().parse().unwrap();
    let with_tag = async |tag: &str| {
        let tag = tag.to_owned();
        app.anyone()
            .send(reqwest::Method::GET, "/.well-known/jwks.json", |request| {
                request.header("if-none-match", tag)
            })
            .await
    };
    let tag = first.header("etag").to_owned();
    assert_eq!(with_tag(&tag).await.assert(304).header("cache-control"), first.header("cache-control"));
    with_tag("\"other\"").await.assert(200);
    let rotate = || tokens::rotate(&mut app.sql(), &sealer(), app.clock.now(), false);
    app.clock.advance(Duration::from_secs(2 * max_age - 30));
    assert!(rotate().unwrap_err().to_string().contains("younger than 10 minutes"));
    app.clock.advance(MINUTE);
    rotate().unwrap();
    eventually("another tag", async || with_tag(&tag).await.status == 200).await;
}

/// Reads with all tokens on both servers until `stop`; every response has to be a 200.
async fn read_all(apps: [String; 2], tokens: Vec<Client>, stop: Arc<AtomicBool>, reads: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        for base in &apps {
            for client in &tokens {
                client.on(base).get("/api/v1/user").await.assert(200);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_by_command_and_by_schedule_under_load_cause_no_401() {
    let one = App::with(&[LONG_TOKENS]);
    let two = one.replica();
    let mut user = one.user().await;
    let (stop, reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut readers = Vec::new();
    let mut read = |tokens: Vec<Client>| {
        let bases = [one.base.clone(), two.base.clone()];
        readers.push(tokio::spawn(read_all(bases, tokens, stop.clone(), reads.clone())));
    };
    read(vec![user.clone()]);
    for round in 0..4 {
        let cached = jwks(&two).await;
        one.clock.advance(10 * MINUTE);
        let kid = if round < 3 {
            tokens::rotate(&mut one.sql(), &sealer(), one.clock.now(), false).unwrap()
        } else {
            one.clock.advance(Duration::from_hours(2));
            let Some(KeyChange::Promoted(kid)) = keep_schedule(&one, &[("JWT_KEY_ROTATION", "1h")]) else {
                panic!("the rotation is due");
            };
            kid
        };
        eventually("signing by the new key", async || {
            user.refresh().await.assert(200);
            user.on(&two.base).get("/api/v1/user").await.assert(200);
            jsonwebtoken::decode_header(user.token()).unwrap().kid.unwrap() == kid
        })
        .await;
        assert!(verify(&cached, user.token()), "a copy of the key set from before is good enough");
        read(vec![user.clone(), one.login(&user.email).await, two.login(&user.email).await]);
        let seen = reads.load(Ordering::Relaxed);
        eventually("reads with all tokens", async || reads.load(Ordering::Relaxed) > seen + 100).await;
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_that_a_revoked_key_signed_is_accepted_whatever_its_algorithm() {
    for algorithm in ["ES256", "RS256"] {
        let one = App::with(&[("JWT_ALGORITHM", algorithm)]);
        let two = one.replica();
        let user = one.user().await;
        user.on(&two.base).get("/api/v1/user").await.assert(200);
        let stolen = jsonwebtoken::decode_header(user.token()).unwrap().kid.unwrap();
        tokens::revoke(&mut one.sql(), &sealer(), &stolen, one.clock.now()).unwrap();
        for app in [&one, &two] {
            let client = user.on(&app.base);
            eventually("refusal", async || client.get("/api/v1/user").await.status == 401).await;
            let body = json!({"refresh_token": user.refresh_token});
            client.post("/api/v1/auth/refresh", &body).await.assert_problem(401, "invalid-refresh-token");
            assert_eq!(alg_of(app.login(&user.email).await.token()), algorithm);
        }
    }
}
