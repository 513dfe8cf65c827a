//! What other programs ask about tokens by the standards of OAuth 2.0: introspection, revocation, metadata.
//!
//! These endpoints are used through libraries and gateways that know no other form than that of the RFCs: bodies are
//! forms, and errors are `{"error": …}` (RFC 6749 section 5.2). Errors that OAuth does not define, such as 429 and 503,
//! are problem details as everywhere.

mod error;
mod form;
mod introspect;
mod metadata;
mod revoke;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(introspect::introspect_token)
        .service(revoke::revoke_token)
        .service(metadata::oauth_metadata);
}
