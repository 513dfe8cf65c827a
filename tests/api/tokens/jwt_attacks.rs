//! Forged, borrowed and worn-out tokens.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use diesel::RunQueryDsl;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{App, Client, SECRET_KEY};

async fn refused(client: &Client, token: &str) {
    let response = client.bearing(token).get("/api/v1/user").await.assert_problem(401, "invalid-token");
    assert!(response.header("www-authenticate").contains(r#"error="invalid_token""#));
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

fn base64(value: &Value) -> String {
    BASE64.encode(serde_json::to_vec(value).unwrap())
}

/// The token with another header or other claims, and its old signature.
fn with(token: &str, header: &Value, claims: &Value) -> String {
    let signature = token.split('.').nth(2).unwrap();
    format!("{}.{}.{signature}", base64(header), base64(claims))
}

/// Signed by the server's own key, as if it had made this token.
fn signed_by_the_server(app: &App, header: &Value, claims: &Value) -> String {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        kid: String,
        #[diesel(sql_type = diesel::sql_types::Binary)]
        private_key: Vec<u8>,
    }
    let query = "SELECT kid, private_key FROM signing_keys WHERE state = 'current'";
    let row: Row = diesel::sql_query(query).get_result(&mut app.sql()).unwrap();
    let secret =
        mintage::config::SecretKey { current: mintage::config::Secret::new(SECRET_KEY), previous: None };
    let pkcs8 = mintage::tokens::Sealer::new(&secret).open(&row.private_key, &row.kid).unwrap().plain;
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
    let message = format!("{}.{}", base64(header), base64(claims));
    let signature = BASE64.encode(pair.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_correctly_signed_token_is_accepted() {
    let app = App::start();
    let client = app.user().await;
    let token = signed_by_the_server(&app, &part(client.token(), 0), &part(client.token(), 1));
    client.bearing(&token).get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn alg_none_is_refused() {
    let app = App::start();
    let client = app.user().await;
    for alg in ["none", "None", "NONE", "nOnE"] {
        let mut header = part(client.token(), 0);
        header["alg"] = alg.into();
        let unsigned = format!("{}.{}.", base64(&header), base64(&part(client.token(), 1)));
        refused(&client, &unsigned).await;
        refused(&client, &with(client.token(), &header, &part(client.token(), 1))).await;
    }
}

#[tokio::test]
async fn a_mac_under_the_public_key_is_refused() {
    let app = App::start();
    let client = app.user().await;
    let jwks = app.anyone().get("/.well-known/jwks.json").await.assert(200).json();
    let key = &jwks["keys"][0];
    let raw = BASE64.decode(key["x"].as_str().unwrap()).unwrap();
    for secret in [raw, key["x"].as_str().unwrap().into(), serde_json::to_vec(key).unwrap()] {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".into());
        header.kid = key["kid"].as_str().map(str::to_owned);
        let claims = part(client.token(), 1);
        let forged = encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
        refused(&client, &forged).await;
    }
}

#[tokio::test]
async fn an_unknown_or_missing_kid_is_refused() {
    let app = App::start();
    let client = app.user().await;
    let claims = part(client.token(), 1);
    for kid in [json!("unknown"), json!(""), json!("../../etc/passwd"), json!("' OR 1=1 --"), Value::Null] {
        let mut header = part(client.token(), 0);
        header["kid"] = kid;
        refused(&client, &signed_by_the_server(&app, &header, &claims)).await;
    }
}

#[tokio::test]
async fn a_key_that_comes_with_the_token_is_refused() {
    let app = App::start();
    let client = app.user().await;
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let public = BASE64.encode(aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref());
    for (name, value) in [
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": public})),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = part(client.token(), 0);
        header[name] = value;
        let message = format!("{}.{}", base64(&header), base64(&part(client.token(), 1)));
        let forged = format!("{message}.{}", BASE64.encode(pair.sign(message.as_bytes())));
        refused(&client, &forged).await;
        // Not even when the rest is right.
        refused(&client, &signed_by_the_server(&app, &header, &part(client.token(), 1))).await;
    }
}

#[tokio::test]
async fn one_kind_of_token_does_not_pass_as_the_other() {
    let app = App::start();
    let client = app.user().await;
    let refresh = client.refresh_token.clone().unwrap();
    refused(&client, &refresh).await;
    client.refresh_with(client.token()).await.assert_problem(401, "invalid-refresh-token");

    // Nor with the other kind's header or claims, had the server signed it.
    let mixed = signed_by_the_server(&app, &part(client.token(), 0), &part(&refresh, 1));
    refused(&client, &mixed).await;
    let mixed = signed_by_the_server(&app, &part(&refresh, 0), &part(client.token(), 1));
    refused(&client, &mixed).await;
    client.refresh_with(&mixed).await.assert_problem(401, "invalid-refresh-token");
    client.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn wrong_types_and_critical_extensions_are_refused() {
    let app = App::start();
    let client = app.user().await;
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("typ", json!("rt+jwt")),
        ("alg", json!("ES256")),
        ("cty", json!("JWT")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(["b64"])),
    ] {
        let mut header = part(client.token(), 0);
        header[name] = value;
        refused(&client, &signed_by_the_server(&app, &header, &part(client.token(), 1))).await;
    }
}

#[tokio::test]
async fn wrong_or_missing_claims_are_refused() {
    let app = App::start();
    let client = app.user().await;
    let header = part(client.token(), 0);
    for (name, value) in [
        ("iss", json!("https://attacker.example")),
        ("iss", Value::Null),
        ("aud", json!("another-api")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", json!("not-an-id")),
        ("sub", Value::Null),
        ("sid", Value::Null),
        ("exp", Value::Null),
        ("exp", json!("9999999999")),
        ("exp", json!(1e300)),
        ("exp", json!(-1.5)),
        ("role", json!("root")),
        ("kind", json!("refresh")),
    ] {
        let mut claims = part(client.token(), 1);
        claims[name] = value.clone();
        let token = signed_by_the_server(&app, &header, &claims);
        let response = client.bearing(&token).get("/api/v1/user").await;
        assert_eq!(response.status, 401, "{name} = {value}: {}", response.text());
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_after_five_seconds_of_leeway() {
    let app = App::start();
    let client = app.user().await;
    let expires_at = part(client.token(), 1)["exp"].as_i64().unwrap();
    let left = expires_at - app.clock.now().timestamp();
    app.clock.advance(Duration::from_secs(left.unsigned_abs()));
    client.get("/api/v1/user").await.assert(200);
    app.clock.advance(Duration::from_secs(6));
    client.get("/api/v1/user").await.assert_problem(401, "token-expired");
}

#[tokio::test]
async fn a_valid_token_dated_by_a_wrong_clock_is_a_503() {
    let app = App::start();
    let client = app.user().await;
    let header = part(client.token(), 0);
    let dated = |iat: i64| {
        let mut claims = part(client.token(), 1);
        claims["iat"] = iat.into();
        client.bearing(&signed_by_the_server(&app, &header, &claims))
    };
    let now = app.clock.now().timestamp();
    dated(now + 50).get("/api/v1/user").await.assert(200);
    for iat in [now + 90, 99_999_999_999, i64::MAX] {
        let refused = dated(iat).get("/api/v1/user").await.assert_problem(503, "unavailable");
        assert!(!refused.header("retry-after").is_empty());
    }
}

#[tokio::test]
async fn tampered_cut_and_garbled_tokens_are_refused() {
    let app = App::start();
    let client = app.user().await;
    let token = client.token().to_owned();
    let mut claims = part(&token, 1);
    claims["role"] = "admin".into();
    refused(&client, &with(&token, &part(&token, 0), &claims)).await;

    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = app.user().await;
    let foreign = other.token().rsplit_once('.').unwrap().1;
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let cases = [
        format!("{message}."),
        message.to_owned(),
        format!("{message}.{foreign}"),
        format!("{message}.{flipped}{}", signature.split_at(1).1),
        format!("{message}.{}", signature.split_at(40).0),
        format!("{token}.{signature}"),
        format!("{token}="),
        "..".to_owned(),
        ".".to_owned(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(7000),
    ];
    for forged in &cases {
        refused(&client, forged).await;
    }
}

#[tokio::test]
async fn every_single_changed_character_is_noticed() {
    let app = App::start();
    let client = app.user().await;
    let token = client.token();
    for position in (0..token.len() - 1).step_by(7) {
        let mut forged = token.to_owned();
        let new = if token.as_bytes()[position] == b'A' { "B" } else { "A" };
        forged.replace_range(position..=position, new);
        let response = client.bearing(&forged).get("/api/v1/user").await;
        assert_eq!(response.status, 401, "position {position}");
    }
}
