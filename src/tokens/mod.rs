//! What proves who is calling.
//!
//! - [`KeyRing`]: the signing keys; the public halves are published as JWKS;
//! - [`Jwt`]: issues and verifies access and refresh tokens;
//! - [`sessions`]: a session is the chain of tokens that one log-in started;
//! - [`exchange`]: a refresh token for the next of its session;
//! - [`reuse`]: refresh tokens that come a second time;
//! - [`Blocklist`]: ended sessions whose access tokens have not expired yet;
//! - [`login_networks`]: from where a user has logged in lately;
//! - [`CurrentUser`], [`Admin`]: extractors that an endpoint names to be protected.

pub mod activity;
mod blocklist;
mod claims;
mod client;
mod current_user;
mod end_all;
mod jwks;
mod jwt;
mod keys;
mod lifetimes;
pub mod login_networks;
mod refresh;
pub mod reuse;
mod role;
mod rotation;
mod seal;
pub mod sessions;
mod verified;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    activity::Activity,
    blocklist::{Blocklist, EndedSessions},
    claims::{AccessToken, RefreshClaims},
    client::Client,
    current_user::{Admin, CurrentUser, PossiblyExpired, Uncounted},
    end_all::end_all,
    jwt::{Jwt, Refusal},
    keys::{
        KeyRing, KeyRow, KeyState, Revoked, create_if_absent, has_keys, list_keys, prune_retired, revoke,
        rotate,
    },
    lifetimes::Lifetimes,
    refresh::{Exchange, Grant, Presented, exchange},
    role::Role,
    seal::{Sealer, derive_key},
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(jwks::jwks);
}
