//! The life of an API key: creating, listing, usage, revoking, and the end of its account.

use std::time::Duration;

use futures_util::future::join_all;
use mintage::{
    config::{Secret, SecretKey},
    tokens::{self, Sealer, api_keys},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD, Response, SECRET_KEY, eventually};

pub const KEYS: &str = "/api/v1/user/api-keys";
const COINS: &str = "/api/v1/coins";

/// Creates a key with these scopes, and returns the response.
pub async fn create(user: &Client, scopes: &[&str]) -> Value {
    user.post(KEYS, &json!({"name": "Price bot", "scopes": scopes})).await.assert(201).json()
}

/// A client that sends the key as a bearer token.
pub async fn with_key(user: &Client, scopes: &[&str]) -> Client {
    user.bearing(create(user, scopes).await["key"].as_str().unwrap())
}

async fn with_header(app: &App, key: &str, path: &str) -> Response {
    app.anyone().send(Method::GET, path, |request| request.header("x-api-key", key)).await
}

fn id_of(key: &Value) -> &str {
    key["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_key_is_shown_once_listed_used_and_revoked() {
    let app = App::start();
    let user = app.user().await;
    let body = json!({"name": " Price bot ", "scopes": ["coins:read", "profile:read", "coins:read"]});
    let made = user.post(KEYS, &body).await.assert(201).json();
    let key = made["key"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["name"], &made["scopes"]),
        (&"Price bot".into(), &json!(["coins:read", "profile:read"]))
    );
    let (prefix, rest) = key.split_at(8);
    assert_eq!(made["prefix"], prefix);
    let listed = user.get(KEYS).await.assert(200);
    assert!(!listed.text().contains(rest), "the key is shown once");
    assert_eq!(listed.json()["data"][0]["id"], made["id"]);

    with_header(&app, &key, COINS).await.assert(200);
    let bearer = user.bearing(&key);
    assert_eq!(bearer.get("/api/v1/user").await.assert(200).json()["id"], user.id.as_str());
    let other = app.user().await;
    let path = format!("{KEYS}/{}", id_of(&made));
    other.delete(&path).await.assert_problem(404, "not-found");
    other.get(&format!("{path}/usage")).await.assert_problem(404, "not-found");
    user.delete(&path).await.assert(204);
    let refused = bearer.get(COINS).await.assert_problem(401, "invalid-api-key");
    assert!(refused.header("www-authenticate").contains(r#"error="invalid_token""#));
    with_header(&app, &key, COINS).await.assert_problem(401, "invalid-api-key");
    user.delete(&path).await.assert_problem(404, "not-found");
    user.get(&format!("{path}/usage")).await.assert_problem(404, "not-found");
    assert_eq!(user.get(KEYS).await.json()["data"], json!([]));
    user.get(COINS).await.assert(200);
    for kind in ["api-key-created", "api-key-revoked"] {
        assert_eq!(
            app.count(&format!("SELECT count(*) FROM security_events WHERE kind = '{kind}'")),
            1,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn the_key_is_never_stored_and_a_repeated_request_gets_it_again() {
    let app = App::start();
    let user = app.user().await;
    let ask = async |key: &str, body: Value| {
        let request = |request: reqwest::RequestBuilder| request.json(&body).header("idempotency-key", key);
        user.send(Method::POST, KEYS, request).await
    };
    let body = json!({"name": "bot", "scopes": ["coins:read"]});
    let first = ask("one", body.clone()).await.assert(201);
    let again = ask("one", body).await.assert(201);
    assert_eq!((first.json(), again.header("idempotency-replayed")), (again.json(), "true"));
    ask("one", json!({"name": "b", "scopes": ["coins:read"]}))
        .await
        .assert_problem(422, "idempotency-key-reused");
    assert_eq!(app.count("SELECT count(*) FROM api_keys"), 1);
    let made = first.json();
    let (_, secret) = made["key"].as_str().unwrap().split_at(8);
    for table in ["api_keys", "idempotency_keys", "security_events", "jobs"] {
        let hidden = format!("SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{secret}%'");
        assert_eq!(app.count(&hidden), 0, "{table}");
        let encoded = format!(
            "SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%' || encode('{secret}'::bytea, 'hex') || '%'"
        );
        assert_eq!(app.count(&encoded), 0, "{table}, as bytes");
    }
}

#[tokio::test]
async fn wrong_bodies_are_refused() {
    let app = App::start();
    let user = app.user().await;
    let now = app.clock.now();
    let at = |days: i64| (now + chrono::TimeDelta::days(days)).to_rfc3339();
    for (change, pointer, code) in [
        (json!({"name": "\u{200b}"}), "/name", "control-character"),
        (json!({"name": "  "}), "/name", "length"),
        (json!({"name": "x".repeat(101)}), "/name", "length"),
        (json!({"scopes": []}), "/scopes", "length"),
        (json!({"scopes": vec!["coins:read"; 10]}), "/scopes", "length"),
        (json!({"expires_at": at(-1)}), "/expires_at", "range"),
        (json!({"expires_at": at(367)}), "/expires_at", "range"),
    ] {
        let mut body = json!({"name": "bot", "scopes": ["coins:read"]});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        user.post(KEYS, &body).await.assert_invalid(pointer, code);
    }
    for scopes in [json!(["users:write"]), json!(["*"]), json!("coins:read"), json!([null]), json!([5])] {
        user.post(KEYS, &json!({"name": "bot", "scopes": scopes}))
            .await
            .assert_problem(422, "validation-failed");
    }
    let extra = json!({"name": "bot", "scopes": ["coins:read"], "user_id": user.id, "key": "mtg_x"});
    user.post(KEYS, &extra).await.assert_problem(422, "validation-failed");
    let body = json!({"name": "bot", "scopes": ["coins:read"], "expires_at": at(365)});
    user.post(KEYS, &body).await.assert(201);
}

#[tokio::test]
async fn a_user_has_at_most_20_keys_also_by_parallel_requests() {
    let app = App::start();
    let user = app.user().await;
    let body = json!({"name": "bot", "scopes": ["coins:read"]});
    let answers = join_all((0..25).map(|_| user.post_until_served(KEYS, &body))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (20, 5));
    let first = user.get(KEYS).await.json()["data"][0].clone();
    user.delete(&format!("{KEYS}/{}", id_of(&first))).await.assert(204);
    user.post(KEYS, &body).await.assert(201);
    user.post(KEYS, &body).await.assert_problem(409, "limit-reached");
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_all_replicas() {
    let app = App::start();
    let other = app.replica();
    let user = app.user().await;
    for on_the_other in [false, true] {
        let made = create(&user, &["coins:read"]).await;
        let key = user.bearing(made["key"].as_str().unwrap());
        key.get(COINS).await.assert(200);
        key.on(&other.base).get(COINS).await.assert(200);
        let (revoker, remote) = if on_the_other { (&other, &app) } else { (&app, &other) };
        user.on(&revoker.base).delete(&format!("{KEYS}/{}", id_of(&made))).await.assert(204);
        key.on(&revoker.base).get(COINS).await.assert_problem(401, "invalid-api-key");
        eventually("the notification", async || key.on(&remote.base).get(COINS).await.status == 401).await;
    }
}

#[tokio::test]
async fn a_key_expires_by_the_clock() {
    let app = App::start();
    let user = app.user().await;
    let expires_at = app.clock.now() + chrono::TimeDelta::hours(1);
    let body = json!({"name": "bot", "scopes": ["coins:read"], "expires_at": expires_at.to_rfc3339()});
    let made = user.post(KEYS, &body).await.assert(201).json();
    let key = user.bearing(made["key"].as_str().unwrap());
    key.get(COINS).await.assert(200);
    app.clock.advance(Duration::from_mins(59));
    key.get(COINS).await.assert(200);
    app.clock.advance(Duration::from_mins(1));
    key.get(COINS).await.assert_problem(401, "invalid-api-key");
    key.on(&app.replica().base).get(COINS).await.assert_problem(401, "invalid-api-key");
}

#[tokio::test]
async fn keys_end_with_their_account_and_do_not_come_back() {
    let app = App::start();
    let admin = app.admin().await;
    let other = app.replica();

    let disabled = app.user().await;
    let key = with_key(&disabled, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    key.on(&other.base).get(COINS).await.assert(200);
    let path = format!("/api/v1/users/{}", disabled.id);
    admin.patch(&path, &json!({"disabled": true})).await.assert(200);
    key.get(COINS).await.assert_problem(401, "invalid-api-key");
    eventually("the notification", async || key.on(&other.base).get(COINS).await.status == 401).await;
    admin.patch(&path, &json!({"disabled": false})).await.assert(200);
    key.get(COINS).await.assert_problem(401, "invalid-api-key");

    let deleted = app.user().await;
    let key = with_key(&deleted, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    let path = format!("/api/v1/users/{}", deleted.id);
    admin.delete(&path).await.assert(204);
    key.get(COINS).await.assert_problem(401, "invalid-api-key");
    admin.post_empty(&format!("{path}/restore")).await.assert(200);
    key.get(COINS).await.assert_problem(401, "invalid-api-key");

    let leaving = app.user().await;
    let key = with_key(&leaving, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    let body = json!({"password": PASSWORD});
    leaving.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    key.get(COINS).await.assert_problem(401, "invalid-api-key");

    // The rows are gone without any code that revokes.
    let purged = app.user().await;
    let key = with_key(&purged, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    let delete = format!("DELETE FROM users WHERE id = '{}'", purged.id);
    diesel::RunQueryDsl::execute(diesel::sql_query(delete), &mut app.sql()).unwrap();
    eventually("the notification", async || key.get(COINS).await.status == 401).await;
}

#[tokio::test]
async fn a_key_survives_a_log_out_a_demotion_and_a_new_password() {
    let app = App::start();
    let (mut admin, user) = (app.admin().await, app.admin().await);
    admin.refresh().await.assert(200);
    app.update_user(&user, "email_confirmed_at = now()");
    let key = with_key(&user, &["coins:read"]).await;
    let notice = app.mail_to(&user.email).await;
    assert!(notice.text.contains("coins:read"), "{}", notice.text);
    admin.patch(&format!("/api/v1/users/{}", user.id), &json!({"role": "user"})).await.assert(200);
    key.get(COINS).await.assert(200);
    let user = app.login(&user.email).await;
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    key.get(COINS).await.assert(200);

    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": user.email})).await.assert(202);
    let token = app.mail_to(&user.email).await.token();
    let body = json!({"token": token, "new_password": "a horse of another colour"});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
    key.get(COINS).await.assert(200);
    let mail = app.mail_to(&user.email).await;
    assert!(mail.text.contains("API keys"), "{}", mail.text);
}

#[tokio::test]
async fn requests_are_counted_by_day_and_the_last_use_by_minute() {
    let app = App::start();
    let user = app.user().await;
    let made = create(&user, &["coins:read"]).await;
    assert_eq!(made["last_used_at"], Value::Null);
    let key = user.bearing(made["key"].as_str().unwrap());
    let path = format!("{KEYS}/{}/usage", id_of(&made));
    assert_eq!(user.get(&path).await.assert(200).json()["data"], json!([]));
    for _ in 0..3 {
        key.get(COINS).await.assert(200);
    }
    key.get("/api/v1/user").await.assert_problem(403, "insufficient-scope");
    let requests = async || user.get(&path).await.json()["data"][0]["requests"].clone();
    eventually("the usage", async || requests().await == 4).await;
    let last = user.get(KEYS).await.json()["data"][0]["last_used_at"].as_str().unwrap().to_owned();
    assert!(last.ends_with(":00Z"), "{last}");
    app.clock.advance(Duration::from_hours(24));
    key.get(COINS).await.assert(200);
    let user = app.login(&user.email).await;
    eventually("the next day", async || {
        let days = user.get(&path).await.json()["data"].clone();
        days.as_array()
            .is_some_and(|days| days.len() == 2 && days[0]["requests"] == 1 && days[1]["requests"] == 4)
    })
    .await;
}

#[tokio::test]
async fn a_new_key_is_mailed_to_a_confirmed_address_within_a_budget() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let (user, unconfirmed) = (app.confirmed_user().await, app.user().await);
    for _ in 0..6 {
        let body = json!({"name": "Call 0900-EVIL", "scopes": ["coins:read", "alerts:write"]});
        user.post(KEYS, &body).await.assert(201);
    }
    create(&unconfirmed, &["coins:read"]).await;
    let mails = app.mails_to(&user.email).await;
    assert_eq!(mails.len(), 4);
    let made = user.get(KEYS).await.json();
    for mail in &mails {
        assert_eq!(mail.subject, "A new API key for your account");
        assert!(
            mail.text.contains("coins:read alerts:write") && !mail.text.contains("EVIL"),
            "{}",
            mail.text
        );
        let shown = made["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| mail.text.contains(key["prefix"].as_str().unwrap()));
        assert!(shown.count() >= 1, "{}", mail.text);
    }
    assert!(app.mails_to(&unconfirmed.email).await.is_empty());
    // The link ends the session that created the key. The key stays.
    let other = app.login(&user.email).await;
    assert!(mails[0].link().starts_with("http://mintage.test/end-session#token="), "{}", mails[0].link());
    let token = json!({"token": mails[0].token()});
    app.anyone().post("/api/v1/auth/session/end", &token).await.assert(204);
    user.get(KEYS).await.assert_problem(401, "token-revoked");
    assert_eq!(other.get(KEYS).await.assert(200).json()["data"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn ending_everything_revokes_all_keys_on_running_servers() {
    let app = App::start();
    let (one, two) = (app.user().await, app.user().await);
    let keys = [with_key(&one, &["coins:read"]).await, with_key(&two, &["coins:read"]).await];
    for key in &keys {
        key.get(COINS).await.assert(200);
    }
    let secret = SecretKey { current: Secret::new(SECRET_KEY), previous: None };
    let ended = tokens::end_all(&mut app.sql(), &Sealer::new(&secret), app.clock.now()).unwrap();
    assert_eq!((ended.sessions, ended.api_keys), (2, 2));
    for key in &keys {
        eventually("refusal", async || key.get(COINS).await.status == 401).await;
    }
}

#[tokio::test]
async fn old_keys_and_counts_are_deleted() {
    let app = App::start();
    let user = app.user().await;
    for _ in 0..3 {
        create(&user, &["coins:read"]).await;
    }
    let mut conn = app.sql();
    let sql = "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS number FROM api_keys), \
        revoked AS (UPDATE api_keys SET revoked_at = CASE number WHEN 1 THEN now() - interval '31 days' END, \
            expires_at = CASE number WHEN 2 THEN now() - interval '29 days' END FROM numbered WHERE numbered.id = api_keys.id) \
        INSERT INTO api_key_usage SELECT id, (now() - days * interval '1 day')::date, 1 FROM numbered, \
            (VALUES (10), (40)) AS ages (days) WHERE number > 1";
    diesel::connection::SimpleConnection::batch_execute(&mut conn, sql).unwrap();
    let now = mintage::db::now(&mut conn).unwrap();
    assert!(!api_keys::prune(&mut conn, now).unwrap(), "nothing is left to prune");
    assert_eq!(app.count("SELECT count(*) FROM api_keys"), 2);
    assert_eq!(app.count("SELECT count(*) FROM api_key_usage"), 2);
}

#[tokio::test]
async fn keys_are_a_503_when_revocations_cannot_be_known_for_too_long() {
    let app = App::with_path(&[("TOKEN_MAX_STALENESS", "10s")]);
    let key = with_key(&app.user().await, &["coins:read"]).await;
    key.get(COINS).await.assert(200);
    app.path().cut();
    eventually("refusal", async || key.get(COINS).await.status == 503).await;
}
