//! Which operations accept API keys, with which scopes, and how often.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::api_keys::{KEYS, create, with_key},
    support::{App, Client, Response, begin_minutes, file_of_transactions},
};

const COINS: &str = "/api/v1/coins";
const SCOPES: [&str; 8] = [
    "coins:read",
    "profile:read",
    "watchlist:read",
    "watchlist:write",
    "alerts:read",
    "alerts:write",
    "portfolio:read",
    "portfolio:write",
];

/// The scope that each operation needs. Every other operation that needs a token refuses keys.
const ACCEPTING: [(&str, &str, &str); 27] = [
    ("GET", "/api/v1/coins", "coins:read"),
    ("GET", "/api/v1/coins.csv", "coins:read"),
    ("GET", "/api/v1/coins/sparse", "coins:read"),
    ("GET", "/api/v1/coins/{coin}", "coins:read"),
    ("GET", "/api/v1/coins/{coin}/history", "coins:read"),
    ("GET", "/api/v1/coins/{coin}/chart.svg", "coins:read"),
    ("GET", "/api/v1/coins/trending", "coins:read"),
    ("GET", "/api/v1/coins/search", "coins:read"),
    ("GET", "/api/v1/coins/global", "coins:read"),
    ("GET", "/api/v1/coins/stream", "coins:read"),
    ("GET", "/api/v1/user", "profile:read"),
    ("GET", "/api/v1/user/watchlist", "watchlist:read"),
    ("PUT", "/api/v1/user/watchlist/{coin}", "watchlist:write"),
    ("DELETE", "/api/v1/user/watchlist/{coin}", "watchlist:write"),
    ("GET", "/api/v1/user/alerts", "alerts:read"),
    ("POST", "/api/v1/user/alerts", "alerts:write"),
    ("GET", "/api/v1/user/alerts/{id}", "alerts:read"),
    ("DELETE", "/api/v1/user/alerts/{id}", "alerts:write"),
    ("GET", "/api/v1/user/portfolio", "portfolio:read"),
    ("GET", "/api/v1/user/portfolio/history", "portfolio:read"),
    ("GET", "/api/v1/user/portfolio/transactions", "portfolio:read"),
    ("GET", "/api/v1/user/portfolio/transactions.csv", "portfolio:read"),
    ("POST", "/api/v1/user/portfolio/transactions", "portfolio:write"),
    ("GET", "/api/v1/user/portfolio/transactions/{id}", "portfolio:read"),
    ("PUT", "/api/v1/user/portfolio/transactions/{id}", "portfolio:write"),
    ("DELETE", "/api/v1/user/portfolio/transactions/{id}", "portfolio:write"),
    ("POST", "/api/v1/user/portfolio/import", "portfolio:write"),
];

async fn call(client: &Client, method: &str, template: &str) -> Response {
    let template = template.replace("/sparse", "/sparse?fields=price").replace("/search", "/search?q=bit");
    let path = template.replace("{coin}", "BTC").replace("{id}", &Uuid::now_v7().to_string());
    let alert = json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 75_000});
    let purchase = json!({"coin": "btc", "kind": "buy", "amount": "1", "total": "1", "day": "2026-01-01"});
    let with_body = |request: reqwest::RequestBuilder| match template.as_str() {
        "/api/v1/user/portfolio/import" => file_of_transactions(request),
        _ if template.contains("/portfolio/") => request.json(&purchase),
        _ => request.json(&alert),
    };
    let method: Method = method.parse().unwrap();
    let has_body = method == Method::POST || (method == Method::PUT && template.contains("/portfolio/"));
    client.send(method, &path, |request| if has_body { with_body(request) } else { request }).await
}

#[tokio::test]
async fn each_operation_accepts_only_keys_with_its_scope() {
    let app = App::start();
    let user = app.user().await;
    for scope in SCOPES {
        let key = with_key(&user, &[scope]).await;
        for (method, template, needed) in ACCEPTING {
            // A stream has no end.
            if template.ends_with("/stream") && scope == needed {
                continue;
            }
            let response = call(&key, method, template).await;
            if scope == needed {
                let status = response.status.as_u16();
                assert!(
                    matches!(status, 200..300 | 404),
                    "{scope}: {method} {template}: {}",
                    response.text()
                );
            } else {
                let refused = response.assert_problem(403, "insufficient-scope");
                let challenge = format!(r#"error="insufficient_scope", scope="{needed}""#);
                assert!(refused.header("www-authenticate").contains(&challenge), "{method} {template}");
            }
        }
    }
    // The watch list is not public, also not through the list of coins.
    let key = with_key(&user, &["coins:read"]).await;
    key.get(&format!("{COINS}?watchlist=true")).await.assert_problem(403, "insufficient-scope");
    let key = with_key(&user, &["coins:read", "watchlist:read"]).await;
    key.get(&format!("{COINS}?watchlist=true")).await.assert(200);
}

#[tokio::test]
async fn every_other_operation_refuses_keys_also_those_of_admins() {
    let app = App::start();
    let admin = app.admin().await;
    let key = with_key(&admin, &SCOPES).await;
    let document: Value = serde_json::from_str(&mintage::app::document().to_json().unwrap()).unwrap();
    let (mut accepting, mut refusing) = (0, 0);
    for (template, item) in document["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            let method = name.to_uppercase();
            let security = operation["security"].as_array().unwrap();
            // Errors of OAuth have another form: see `auth/oauth`.
            if template.starts_with("/oauth/") {
                continue;
            }
            let documented = security.iter().any(|one| one.get("apiKey").is_some());
            let accepts = ACCEPTING.iter().any(|(m, path, _)| *m == method && path == template);
            assert_eq!(documented, accepts, "{method} {template}");
            accepting += usize::from(accepts);
            let is_public = security.is_empty() || security.contains(&json!({}));
            if accepts || is_public {
                continue;
            }
            let refused = call(&key, &method, template).await.assert_problem(403, "insufficient-scope");
            assert!(refused.header("www-authenticate").contains("insufficient_scope"), "{method} {template}");
            refusing += 1;
        }
    }
    assert_eq!(accepting, ACCEPTING.len());
    assert!(refusing > 20, "{refusing}");
    assert_eq!(
        admin.get(KEYS).await.json()["data"].as_array().unwrap().len(),
        1,
        "no key creates or revokes keys"
    );
}

#[tokio::test]
async fn what_is_not_a_key_is_refused_without_a_query() {
    let app = App::start();
    let user = app.user().await;
    let key = create(&user, &["coins:read"]).await["key"].as_str().unwrap().to_owned();
    let sent = async |headers: &[(&str, &str)]| {
        let add = |request| {
            headers.iter().fold(request, |request: reqwest::RequestBuilder, (k, v)| request.header(*k, *v))
        };
        app.anyone().send(Method::GET, COINS, add).await
    };
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    let (short, (marker, rest)) = (key.split_at(39).0, key.split_at(4));
    let mistyped = format!("{short}{last}");
    let swapped = marker.to_owned() + &rest.chars().rev().collect::<String>();
    for wrong in
        [&mistyped, short, key.split_at(8).0, "mtg_", &swapped, &format!("{key}0"), &key.to_uppercase()]
    {
        sent(&[("x-api-key", wrong)]).await.assert_problem(401, "invalid-api-key");
    }
    let bearer = format!("Bearer {mistyped}");
    sent(&[("authorization", &bearer)]).await.assert_problem(401, "invalid-api-key");
    sent(&[("x-api-key", "")]).await.assert_problem(401, "invalid-api-key");
    sent(&[("x-api-key", user.token())]).await.assert_problem(401, "invalid-api-key");
    // Right in form, but not one of ours.
    let unknown = create(&user, &["coins:read"]).await;
    user.delete(&format!("{KEYS}/{}", unknown["id"].as_str().unwrap())).await.assert(204);
    sent(&[("x-api-key", unknown["key"].as_str().unwrap())]).await.assert_problem(401, "invalid-api-key");

    let (as_key, as_token) = (format!("Bearer {key}"), format!("Bearer {}", user.token()));
    for both in [as_key.as_str(), &as_token, "Basic YTpi"] {
        sent(&[("authorization", both), ("x-api-key", &key)]).await.assert_problem(401, "invalid-token");
    }
    sent(&[("x-api-key", &key), ("x-api-key", &key)]).await.assert_problem(401, "invalid-token");
    sent(&[("authorization", &as_key), ("authorization", &as_token)])
        .await
        .assert_problem(401, "invalid-token");
    sent(&[("authorization", &as_token)]).await.assert(200);
    sent(&[("authorization", &format!("bearer {key}"))]).await.assert(200);
    // Not as a parameter, where it would be logged.
    app.anyone().get(&format!("{COINS}?api_key={key}")).await.assert_problem(401, "missing-token");
}

#[tokio::test]
async fn a_key_has_a_quota_which_responses_state() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("API_KEY_RATE", "6")]);
    begin_minutes(&app.clock, 1);
    let user = app.user().await;
    let (key, other) = (with_key(&user, &["coins:read"]).await, with_key(&user, &["coins:read"]).await);
    for left in (0..6).rev() {
        let response = key.get(COINS).await.assert(200);
        assert_eq!(response.header("ratelimit-policy"), r#""api-key";q=6;w=60"#);
        let state = format!(r#""api-key";r={left};t="#);
        assert!(response.header("ratelimit").starts_with(&state), "{}", response.header("ratelimit"));
    }
    let refused = key.get(COINS).await.assert_problem(429, "too-many-requests");
    assert!(
        refused.header("ratelimit").starts_with(r#""api-key";r=0;t=6"#),
        "{}",
        refused.header("ratelimit")
    );
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    other.get(COINS).await.assert(200);
    let with_token = user.get(COINS).await.assert(200);
    assert!(!with_token.headers.contains_key("ratelimit"), "an access token has no quota");
    app.clock.advance(Duration::from_secs(wait));
    let response = key.get("/api/v1/coins/nonesuch").await.assert_problem(404, "not-found");
    assert!(response.header("ratelimit").starts_with(r#""api-key";r=0"#), "also with an error");
    key.get(COINS).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn unknown_keys_from_one_address_are_limited() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let user = app.user().await;
    let made = create(&user, &["coins:read"]).await;
    user.delete(&format!("{KEYS}/{}", made["id"].as_str().unwrap())).await.assert(204);
    let (unknown, known) =
        (user.bearing(made["key"].as_str().unwrap()), with_key(&user, &["coins:read"]).await);
    known.get(COINS).await.assert(200);
    let mut refused = 0;
    while unknown.get(COINS).await.status != 429 {
        refused += 1;
        assert!(refused < 5000, "no limit");
    }
    assert!(refused >= 250, "{refused}");
    known.get(COINS).await.assert(200);
    user.get(COINS).await.assert(200);
}

#[tokio::test]
async fn keys_in_memory_work_without_a_database_and_new_ones_are_a_503() {
    let app = App::with_path(&[]);
    let user = app.user().await;
    let (known, new) = (with_key(&user, &["coins:read"]).await, with_key(&user, &["coins:read"]).await);
    known.get(COINS).await.assert(200);
    app.path().cut();
    known.get(COINS).await.assert(200);
    new.get(COINS).await.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn all_keys_of_a_user_together_have_two_quotas() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("API_KEY_RATE", "6")]);
    begin_minutes(&app.clock, 1);
    let (user, other) = (app.user().await, app.user().await);
    for _ in 0..2 {
        let key = with_key(&user, &["coins:read"]).await;
        for _ in 0..6 {
            key.get(COINS).await.assert(200);
        }
        key.get(COINS).await.assert_problem(429, "too-many-requests");
    }
    let third = with_key(&user, &["coins:read"]).await;
    let refused = third.get(COINS).await.assert_problem(429, "too-many-requests");
    assert!(refused.headers.contains_key("retry-after"));
    with_key(&other, &["coins:read"]).await.get(COINS).await.assert(200);
    user.get(COINS).await.assert(200);
}
