//! Borrowed, worn-out and garbled tokens; [`forged`](super::forged) has those that were made.

use std::time::Duration;

use super::forge::{Forge, part};
use crate::support::{App, Client};

async fn refused(client: &Client, token: &str) {
    let response = client.bearing(token).get("/api/v1/user").await.assert_problem(401, "invalid-token");
    assert!(response.header("www-authenticate").contains(r#"error="invalid_token""#));
}

#[tokio::test]
async fn one_kind_of_token_does_not_pass_as_the_other() {
    let app = App::start();
    let client = app.user().await;
    let refresh = client.refresh_token.clone().unwrap();
    refused(&client, &refresh).await;
    client.refresh_with(client.token()).await.assert_problem(401, "invalid-refresh-token");

    // Nor with the other kind's header or claims, had the server signed it.
    let forge = Forge::of(&app, client.token());
    let mixed = forge.sign(&part(&refresh, 0), &forge.claims);
    refused(&client, &mixed).await;
    client.refresh_with(&mixed).await.assert_problem(401, "invalid-refresh-token");
    client.get("/api/v1/user").await.assert(200);
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
    let forge = Forge::of(&app, client.token());
    let dated = |iat: i64| {
        let mut claims = forge.claims.clone();
        claims["iat"] = iat.into();
        client.bearing(&forge.sign(&forge.header, &claims))
    };
    let now = app.clock.now().timestamp();
    dated(now + 50).get("/api/v1/user").await.assert(200);
    for iat in [now + 90, 99_999_999_999, i64::MAX] {
        let refused = dated(iat).get("/api/v1/user").await.assert_problem(503, "unavailable");
        assert!(!refused.header("retry-after").is_empty());
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
