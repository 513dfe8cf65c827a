//! Answers `GET /.well-known/jwks.json`: publishes the public signing keys.

use actix_web::{HttpRequest, HttpResponse, get, http::header, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{KeyRing, key_schedule::MAX_CACHE_AGE};
use crate::http::etag::none_match_has;

/// A JSON Web Key Set (RFC 7517).
#[derive(Serialize, ToSchema)]
#[schema(as = JwkSet)]
struct JwkSetBody {
    keys: Vec<JwkBody>,
}

/// A public key; its members depend on `kty`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Jwk, discriminator(property_name = "kty", mapping(
    ("OKP" = "#/components/schemas/EdKey"),
    ("EC" = "#/components/schemas/EcKey"),
    ("RSA" = "#/components/schemas/RsaKey"),
)))]
#[expect(dead_code, reason = "only described; the keys are serialised by jsonwebtoken")]
enum JwkBody {
    Ed(EdKey),
    Ec(EcKey),
    Rsa(RsaKey),
}

/// Types of keys, one each: by them the members of the set exclude each other.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "only described")]
enum Okp {
    #[serde(rename = "OKP")]
    Okp,
}

#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "only described")]
enum Ec {
    #[serde(rename = "EC")]
    Ec,
}

#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "only described")]
enum Rsa {
    #[serde(rename = "RSA")]
    Rsa,
}

/// Ed25519, for `EdDSA` (RFC 8037).
#[derive(Serialize, ToSchema)]
struct EdKey {
    #[schema(inline)]
    kty: Okp,
    #[schema(example = "Ed25519", pattern = "^Ed25519$")]
    crv: String,
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    #[schema(example = "EdDSA", pattern = "^EdDSA$")]
    alg: String,
    #[serde(rename = "use")]
    #[schema(example = "sig", pattern = "^sig$")]
    usage: String,
    /// RFC 7638 thumbprint; the `kid` of a token's header.
    #[schema(example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    kid: String,
}

/// P-256, for `ES256` (RFC 7518 section 6.2).
#[derive(Serialize, ToSchema)]
struct EcKey {
    #[schema(inline)]
    kty: Ec,
    #[schema(example = "P-256", pattern = "^P-256$")]
    crv: String,
    #[schema(example = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4")]
    x: String,
    #[schema(example = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")]
    y: String,
    #[schema(example = "ES256", pattern = "^ES256$")]
    alg: String,
    #[serde(rename = "use")]
    #[schema(example = "sig", pattern = "^sig$")]
    usage: String,
    /// RFC 7638 thumbprint; the `kid` of a token's header.
    #[schema(example = "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s")]
    kid: String,
}

/// For `RS256` (RFC 7518 section 6.3).
#[derive(Serialize, ToSchema)]
struct RsaKey {
    #[schema(inline)]
    kty: Rsa,
    /// The modulus, of 2048 bits.
    #[schema(
        example = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )]
    n: String,
    #[schema(example = "AQAB")]
    e: String,
    #[schema(example = "RS256", pattern = "^RS256$")]
    alg: String,
    #[serde(rename = "use")]
    #[schema(example = "sig", pattern = "^sig$")]
    usage: String,
    /// RFC 7638 thumbprint; the `kid` of a token's header.
    #[schema(example = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")]
    kid: String,
}

/// Public signing keys
///
/// Returns the keys that verify the tokens of this server: the next, the current and the retired ones. Other
/// services verify access tokens with the key that `kid` names; they must check `alg` (only that of the key), `typ`
/// (`at+jwt`), `iss` and `aud`. The set may have keys of several algorithms, while `JWT_ALGORITHM` is being changed.
///
/// Clients may cache the key set for 5 minutes: a key is published for at least 10 minutes before it signs. Revoked keys
/// are removed.
#[utoipa::path(
    tag = "system",
    security(()),
    responses(
        (status = 200, description = "The key set (RFC 7517).", body = JwkSetBody, headers(
            ("ETag" = String, description = "Entity tag of the key set, for `If-None-Match`."),
            ("Cache-Control" = String, description = "`public, max-age=300`."),
        )),
        (status = 304, description = "The key set is the one that you have.")
    )
)]
#[get("/.well-known/jwks.json")]
pub async fn jwks(req: HttpRequest, keys: Data<KeyRing>) -> HttpResponse {
    let jwks = &keys.current().jwks;
    let cache = format!("public, max-age={}", MAX_CACHE_AGE.num_seconds());
    let is_known = none_match_has(&req, &jwks.etag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, jwks.etag.clone())).insert_header((header::CACHE_CONTROL, cache));
    if is_known {
        return response.finish();
    }
    response.content_type("application/json").body(jwks.body.clone())
}
