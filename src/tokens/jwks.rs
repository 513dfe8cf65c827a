//! Answers `GET /.well-known/jwks.json`: publishes the public signing keys.

use actix_web::{HttpResponse, get, http::header, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::KeyRing;

/// A JSON Web Key Set (RFC 7517) with Ed25519 keys (RFC 8037).
#[derive(Serialize, ToSchema)]
#[schema(as = JwkSet)]
struct JwkSetBody {
    keys: Vec<JwkBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Jwk)]
struct JwkBody {
    #[schema(example = "OKP")]
    kty: String,
    #[schema(example = "Ed25519")]
    crv: String,
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    #[schema(example = "EdDSA")]
    alg: String,
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    usage: String,
    /// RFC 7638 thumbprint; the `kid` of a token's header.
    #[schema(example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    kid: String,
}

/// Public signing keys
///
/// Returns the keys that verify the tokens of this server: the next, the current and the retired ones. Other
/// services verify access tokens with them; they must check `alg` (`EdDSA`), `typ` (`at+jwt`), `iss` and `aud`.
/// Clients may cache the key set for 5 minutes. Revoked keys are removed.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "The key set (RFC 7517).", body = JwkSetBody))
)]
#[get("/.well-known/jwks.json")]
pub async fn jwks(keys: Data<KeyRing>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(&keys.current().jwks)
}
