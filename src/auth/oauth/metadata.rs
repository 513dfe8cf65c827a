//! Answers `GET /.well-known/oauth-authorization-server` (RFC 8414): where the endpoints of OAuth are.

use actix_web::{HttpResponse, get, http::header, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Auth;

/// Metadata of the authorization server.
#[derive(Serialize, ToSchema)]
pub struct OAuthMetadata<'a> {
    /// `PUBLIC_URL`, and the `iss` of tokens.
    #[schema(example = "http://127.0.0.1:8080")]
    issuer: &'a str,
    #[schema(example = "http://127.0.0.1:8080/.well-known/jwks.json")]
    jwks_uri: String,
    #[schema(example = "http://127.0.0.1:8080/oauth/introspect")]
    introspection_endpoint: String,
    #[schema(example = json!(["client_secret_basic", "Bearer"]))]
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    #[schema(example = "http://127.0.0.1:8080/oauth/revoke")]
    revocation_endpoint: String,
    #[schema(example = json!(["none"]))]
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    /// What a token may allow.
    #[schema(example = json!(["coins:read"]))]
    scopes_supported: Vec<&'static str>,
    /// Empty: people log in at `POST /api/v1/auth/login`, not through an authorization endpoint.
    #[schema(example = json!([]))]
    response_types_supported: [&'static str; 0],
    /// Empty, since there is no token endpoint.
    #[schema(example = json!([]))]
    grant_types_supported: [&'static str; 0],
}

/// OAuth metadata
///
/// Returns where introspection, revocation and the key set are (RFC 8414), for libraries that are configured by the issuer.
/// There is no authorization endpoint and no token endpoint: people log in with the API.
#[utoipa::path(
    tag = "oauth",
    security(()),
    responses((status = 200, description = "The metadata.", body = OAuthMetadata))
)]
#[get("/.well-known/oauth-authorization-server")]
pub async fn oauth_metadata(auth: Data<Auth>) -> HttpResponse {
    let issuer = auth.jwt.issuer();
    let at = |path: &str| format!("{issuer}{path}");
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=3600")).json(OAuthMetadata {
        issuer,
        jwks_uri: at("/.well-known/jwks.json"),
        introspection_endpoint: at("/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: ["client_secret_basic", "Bearer"],
        revocation_endpoint: at("/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: ["none"],
        scopes_supported: crate::tokens::api_keys::Scope::names().collect(),
        response_types_supported: [],
        grant_types_supported: [],
    })
}
