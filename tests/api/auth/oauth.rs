//! Introspection (RFC 7662), revocation (RFC 7009) and metadata (RFC 8414).

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    auth::api_keys::{KEYS, create},
    support::{App, Client, PUBLIC_URL, Response, eventually},
};

const INTROSPECT: &str = "/oauth/introspect";
const REVOKE: &str = "/oauth/revoke";
const FORM: &str = "application/x-www-form-urlencoded";
/// Whatever is not valid gets this and nothing else.
const INACTIVE: &str = r#"{"active":false}"#;

async fn send(
    client: &Client,
    path: &str,
    body: String,
    add: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Response {
    client.send(Method::POST, path, |request| add(request.header("content-type", FORM).body(body))).await
}

/// An API key of a new admin with the scope.
async fn gateway_key(app: &App) -> Value {
    create(&app.admin().await, &["tokens:introspect"]).await
}

fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap()
}

async fn gateway(app: &App) -> Client {
    app.anyone().bearing(text(&gateway_key(app).await, "key"))
}

async fn introspect(gateway: &Client, token: &str) -> Response {
    send(gateway, INTROSPECT, format!("token={token}"), |request| request).await.assert(200)
}

async fn introspect_refresh(gateway: &Client, token: &str) -> Response {
    let body = format!("token={token}&token_type_hint=refresh_token");
    send(gateway, INTROSPECT, body, |request| request).await.assert(200)
}

async fn revoke(app: &App, token: &str) {
    let response = send(&app.anyone(), REVOKE, format!("token={token}"), |request| request).await.assert(200);
    assert!(response.body.is_empty());
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn an_access_token_is_active_until_its_session_ends_everywhere() {
    let app = App::start();
    let two = app.replica();
    let gateway = gateway(&app).await;
    let user = app.user().await;
    let response = introspect(&gateway, user.token()).await;
    assert_eq!(response.header("cache-control"), "no-store");
    let body = response.json();
    let claims = user.token().split('.').nth(1).unwrap();
    let claims: Value =
        serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "role", "kind"] {
        assert_eq!(body[name], claims[name], "{name}");
    }
    assert_eq!((&body["active"], &body["token_type"]), (&true.into(), &"Bearer".into()));
    let scopes = "coins:read profile:read watchlist:read watchlist:write alerts:read alerts:write \
        portfolio:read portfolio:write";
    assert_eq!(body["scope"], scopes);
    assert!(body.get("client_id").is_none());

    user.post_empty("/api/v1/auth/logout").await.assert(204);
    assert_eq!(introspect(&gateway, user.token()).await.text(), INACTIVE);
    let elsewhere = gateway.on(&two.base);
    eventually("refusal elsewhere", async || introspect(&elsewhere, user.token()).await.text() == INACTIVE)
        .await;
}

#[tokio::test]
async fn a_token_is_inactive_from_its_expiry_on() {
    let app = App::with(&[("ACCESS_TOKEN_TTL", "60s")]);
    let gateway = gateway(&app).await;
    let user = app.user().await;
    app.clock.advance(Duration::from_secs(55));
    assert_eq!(introspect(&gateway, user.token()).await.json()["active"], true);
    app.clock.advance(Duration::from_secs(5));
    assert_eq!(introspect(&gateway, user.token()).await.text(), INACTIVE, "without the leeway");
}

#[tokio::test]
async fn only_the_newest_refresh_token_is_active_and_only_if_it_is_asked_for() {
    let app = App::start();
    let gateway = gateway(&app).await;
    let mut user = app.user().await;
    let first = user.refresh_token.clone().unwrap();
    // A gateway that asks about what a client sent as access token must not let it in.
    assert_eq!(introspect(&gateway, &first).await.text(), INACTIVE);
    let body = introspect_refresh(&gateway, &first).await.json();
    assert_eq!(
        (&body["active"], &body["kind"], &body["sub"]),
        (&true.into(), &"refresh".into(), &user.id.as_str().into())
    );
    assert!(body.get("scope").is_none() && body.get("token_type").is_none());
    user.refresh().await.assert(200);
    assert_eq!(introspect_refresh(&gateway, &first).await.text(), INACTIVE);
    let second = user.refresh_token.clone().unwrap();
    assert_eq!(introspect_refresh(&gateway, &second).await.json()["active"], true);
    // The hint is one: an access token is found as well.
    assert_eq!(introspect_refresh(&gateway, user.token()).await.json()["kind"], "access");
    // To ask does not use it up.
    user.refresh().await.assert(200);
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    let third = user.refresh_token.clone().unwrap();
    assert_eq!(introspect_refresh(&gateway, &third).await.text(), INACTIVE);
}

#[tokio::test]
async fn an_api_key_is_active_with_its_scopes_until_it_expires_or_is_revoked() {
    let app = App::start();
    let gateway = gateway(&app).await;
    let user = app.user().await;
    let expires_at = app.clock.now() + chrono::TimeDelta::hours(1);
    let body = json!({"name": "Bot", "scopes": ["coins:read", "alerts:read"], "expires_at": expires_at});
    let expiring = user.post(KEYS, &body).await.assert(201).json();
    let lasting = create(&user, &["profile:read"]).await;
    let body = introspect(&gateway, text(&expiring, "key")).await.json();
    assert_eq!(
        (
            &body["active"],
            &body["scope"],
            &body["kind"],
            &body["sub"],
            &body["client_id"],
            &body["iss"],
            &body["exp"]
        ),
        (
            &true.into(),
            &"coins:read alerts:read".into(),
            &"api-key".into(),
            &user.id.as_str().into(),
            &expiring["id"],
            &PUBLIC_URL.into(),
            &expires_at.timestamp().into()
        )
    );
    assert!(introspect(&gateway, text(&lasting, "key")).await.json().get("exp").is_none());
    app.clock.advance(Duration::from_hours(1));
    assert_eq!(introspect(&gateway, text(&expiring, "key")).await.text(), INACTIVE);
    let user = app.login(&user.email).await;
    user.delete(&format!("{KEYS}/{}", text(&lasting, "id"))).await.assert(204);
    assert_eq!(introspect(&gateway, text(&lasting, "key")).await.text(), INACTIVE);
}

#[tokio::test]
async fn whatever_is_no_token_is_inactive_without_a_reason() {
    let app = App::start();
    let gateway = gateway(&app).await;
    let user = app.user().await;
    let truncated: String = user.token().chars().take(user.token().len() - 3).collect();
    let long = "x".repeat(60_000);
    for token in [
        "nonsense",
        "a.b.c",
        "..",
        "%00",
        "%F0%9F%94%91",
        "mtg_",
        "mtg_000000000000000000000000000000000000",
        &truncated,
        &long,
    ] {
        for response in [introspect(&gateway, token).await, introspect_refresh(&gateway, token).await] {
            assert_eq!(response.text(), INACTIVE, "{token}");
        }
    }
}

#[tokio::test]
async fn a_gateway_authenticates_by_basic_bearer_or_x_api_key() {
    let app = App::start();
    let key = gateway_key(&app).await;
    let other = gateway_key(&app).await;
    let user = app.user().await;
    let body = format!("token={}", user.token());
    let with = async |name: &'static str, value: &str| {
        send(&app.anyone(), INTROSPECT, body.clone(), |request| request.header(name, value)).await
    };
    let secret = text(&key, "key");
    for (name, value) in [
        ("authorization", basic(text(&key, "id"), secret)),
        ("authorization", basic(text(&key, "prefix"), secret)),
        ("authorization", basic(text(&key, "prefix"), secret).replace("Basic", "bAsIc")),
        ("authorization", format!("Bearer {secret}")),
        ("x-api-key", secret.to_owned()),
    ] {
        assert_eq!(with(name, &value).await.assert(200).json()["active"], true, "{name}: {value}");
    }
    let last = if secret.ends_with('a') { "b" } else { "a" };
    let mistyped = secret.chars().take(39).collect::<String>() + last;
    for (name, value) in [
        ("authorization", basic(text(&other, "id"), secret)),
        ("authorization", basic(text(&other, "prefix"), &mistyped)),
        ("authorization", basic("", secret)),
        ("authorization", basic(text(&key, "id"), "")),
        ("authorization", "Basic !".to_owned()),
        ("authorization", format!("Bearer {mistyped}")),
        ("authorization", "Bearer nonsense.nonsense.nonsense".to_owned()),
        ("x-api-key", mistyped.clone()),
    ] {
        let refused = with(name, &value).await;
        // A bearer token that is no key is an access token, which is never enough.
        let expected =
            if value.contains("nonsense") { (403, "insufficient_scope") } else { (401, "invalid_client") };
        assert_eq!(
            (refused.status.as_u16(), text(&refused.json(), "error")),
            (expected.0, expected.1),
            "{name}: {value}"
        );
        assert!(!refused.text().contains("active"));
    }
    let refused = send(&app.anyone(), INTROSPECT, body.clone(), |request| request).await.assert(401);
    let challenges: Vec<_> =
        refused.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(challenges, [r#"Basic realm="mintage", charset="UTF-8""#, r#"Bearer realm="mintage""#]);
    assert_eq!(refused.json()["error"], "invalid_client");
    assert_eq!(refused.header("content-type"), "application/json");
    // Several at once.
    let (one, two) = (basic(text(&key, "id"), secret), format!("Bearer {secret}"));
    for (second, value) in [("authorization", two.as_str()), ("x-api-key", secret)] {
        let both = |request: RequestBuilder| request.header("authorization", &one).header(second, value);
        send(&app.anyone(), INTROSPECT, body.clone(), both).await.assert(401);
    }
}

#[tokio::test]
async fn neither_access_tokens_nor_keys_without_the_scope_may_introspect() {
    let app = App::start();
    let admin = app.admin().await;
    let user = app.user().await;
    let key = create(&admin, &["coins:read", "profile:read"]).await;
    for token in [user.token(), admin.token(), text(&key, "key")] {
        let body = format!("token={}", user.token());
        let refused =
            send(&app.anyone().bearing(token), INTROSPECT, body, |request| request).await.assert(403);
        assert_eq!(refused.json()["error"], "insufficient_scope");
        assert!(refused.header("www-authenticate").contains(r#"scope="tokens:introspect""#));
    }
    // Other operations refuse the key of a gateway.
    let gateway = gateway(&app).await;
    gateway.get("/api/v1/coins").await.assert_problem(403, "insufficient-scope");
    gateway.get("/api/v1/users").await.assert_problem(403, "insufficient-scope");
}

#[tokio::test]
async fn only_admins_create_keys_for_introspection_and_lose_them_with_the_role() {
    let app = App::start();
    let two = app.replica();
    let (root, admin, user) = (app.admin().await, app.admin().await, app.user().await);
    let body = json!({"name": "Gateway", "scopes": ["coins:read", "tokens:introspect"]});
    user.post(KEYS, &body).await.assert_problem(403, "forbidden");
    let key = admin.post(KEYS, &body).await.assert(201).json();
    let other = create(&admin, &["coins:read"]).await;
    let gateway = app.anyone().bearing(text(&key, "key"));
    for app in [&app, &two] {
        assert_eq!(introspect(&gateway.on(&app.base), user.token()).await.json()["active"], true);
    }
    root.patch(&format!("/api/v1/users/{}", admin.id), &json!({"role": "user"})).await.assert(200);
    let ask = async |app: &App| {
        send(&gateway.on(&app.base), INTROSPECT, format!("token={}", user.token()), |request| request).await
    };
    ask(&app).await.assert(401);
    eventually("refusal elsewhere", async || ask(&two).await.status == 401).await;
    app.anyone().bearing(text(&other, "key")).get("/api/v1/coins").await.assert(200);
}

#[tokio::test]
async fn a_wrong_form_is_an_invalid_request() {
    let app = App::start();
    let gateway = gateway(&app).await;
    let token = app.user().await.token().to_owned();
    for (client, path) in [(&gateway, INTROSPECT), (&app.anyone(), REVOKE)] {
        for body in [
            String::new(),
            "token=".into(),
            "token_type_hint=access_token".into(),
            format!("token={token}&token={token}"),
            format!("token={token}&token_type_hint=access_token&token_type_hint=refresh_token"),
        ] {
            let refused = send(client, path, body, |request| request).await.assert(400);
            assert_eq!(refused.json()["error"], "invalid_request", "{}", refused.text());
            assert_eq!(refused.header("cache-control"), "no-store");
        }
        let json = client.post(path, &json!({"token": token})).await.assert(400);
        assert_eq!(json.json()["error"], "invalid_request");
        let query = send(client, &format!("{path}?token={token}"), String::new(), |request| request).await;
        query.assert(400);
        let large = send(client, path, format!("token={}", "x".repeat(70_000)), |request| request).await;
        large.assert_problem(413, "payload-too-large");
        let ignored = format!("token=x&token_type_hint=saml&client_id=app&client_id=app&scope={token}");
        send(client, path, ignored, |request| request).await.assert(200);
    }
    gateway.on(&app.base).get(INTROSPECT).await.assert_problem(405, "method-not-allowed");
}

#[tokio::test]
async fn revoking_an_access_token_or_a_refresh_token_ends_its_session_only() {
    let app = App::start();
    let two = app.replica();
    for by_refresh in [false, true] {
        let user = app.user().await;
        let other = app.login(&user.email).await;
        user.on(&two.base).get("/api/v1/user").await.assert(200);
        let token = if by_refresh { user.refresh_token.clone().unwrap() } else { user.token().to_owned() };
        revoke(&app, &token).await;
        user.get("/api/v1/user").await.assert_problem(401, "token-revoked");
        let refused = user.refresh_with(user.refresh_token.as_ref().unwrap()).await;
        refused.assert_problem(401, "invalid-refresh-token");
        eventually("refusal elsewhere", async || user.on(&two.base).get("/api/v1/user").await.status == 401)
            .await;
        other.get("/api/v1/user").await.assert(200);
        revoke(&app, &token).await;
        let events = format!(
            "SELECT count(*) FROM security_events WHERE kind = 'session-ended' AND user_id = '{}' AND details->>'by' = 'token-revocation'",
            user.id
        );
        assert_eq!(app.count(&events), 1);
    }
}

#[tokio::test]
async fn revoking_an_api_key_ends_it_for_good_everywhere() {
    let app = App::start();
    let two = app.replica();
    let user = app.user().await;
    let (key, other) = (create(&user, &["coins:read"]).await, create(&user, &["coins:read"]).await);
    let client = user.bearing(text(&key, "key"));
    client.on(&two.base).get("/api/v1/coins").await.assert(200);
    revoke(&app, text(&key, "key")).await;
    client.get("/api/v1/coins").await.assert_problem(401, "invalid-api-key");
    eventually("refusal elsewhere", async || client.on(&two.base).get("/api/v1/coins").await.status == 401)
        .await;
    user.bearing(text(&other, "key")).get("/api/v1/coins").await.assert(200);
    revoke(&app, text(&key, "key")).await;
    let events = "SELECT count(*) FROM security_events WHERE kind = 'api-key-revoked'";
    assert_eq!(app.count(events), 1);
}

#[tokio::test]
async fn revoking_what_is_not_valid_changes_nothing_and_is_answered_alike() {
    let app = App::with(&[("ACCESS_TOKEN_TTL", "60s")]);
    let mut user = app.user().await;
    let expired = user.token().to_owned();
    app.clock.advance(Duration::from_mins(1));
    for token in ["nonsense", "mtg_000000000000000000000000000000000000", &expired] {
        revoke(&app, token).await;
    }
    user.refresh().await.assert(200);
    user.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn without_the_database_unknown_keys_are_a_503_and_floods_a_429() {
    let app = App::with_path(&[("RATE_LIMITS", "on")]);
    let gateway = gateway(&app).await;
    let user = app.user().await;
    introspect(&gateway, user.token()).await;
    let refresh = user.refresh_token.clone().unwrap();
    app.path().cut();
    // Known from memory.
    assert_eq!(introspect(&gateway, user.token()).await.json()["active"], true);
    let body = format!("token={refresh}&token_type_hint=refresh_token");
    send(&gateway, INTROSPECT, body, |request| request).await.assert_problem(503, "unavailable");
    send(&app.anyone(), REVOKE, format!("token={refresh}"), |request| request)
        .await
        .assert_problem(503, "unavailable");
    let mut tries = 0;
    while send(&app.anyone(), REVOKE, "token=x".into(), |request| request).await.status != 429 {
        tries += 1;
        assert!(tries < 1000, "no limit");
    }
}

#[tokio::test]
async fn the_metadata_names_endpoints_that_answer() {
    let app = App::start();
    let gateway = gateway(&app).await;
    let metadata = app.anyone().get("/.well-known/oauth-authorization-server").await.assert(200).json();
    assert_eq!(metadata["issuer"], PUBLIC_URL);
    let path = |name: &str| text(&metadata, name).strip_prefix(PUBLIC_URL).unwrap().to_owned();
    app.anyone().get(&path("jwks_uri")).await.assert(200);
    send(&gateway, &path("introspection_endpoint"), "token=x".into(), |request| request).await.assert(200);
    send(&app.anyone(), &path("revocation_endpoint"), "token=x".into(), |request| request).await.assert(200);
    assert_eq!(
        metadata["introspection_endpoint_auth_methods_supported"],
        json!(["client_secret_basic", "Bearer"])
    );
    let all = &metadata["scopes_supported"];
    assert!(all.as_array().unwrap().contains(&"tokens:introspect".into()), "{all}");
}
