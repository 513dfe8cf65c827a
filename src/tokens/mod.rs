//! Issues and verifies tokens, and keeps the sessions they belong to.
//!
//! - [`KeyRing`]: the signing keys, whose public halves are published as JWKS;
//! - [`Jwt`]: issues and verifies access and refresh tokens;
//! - [`sessions`]: a session is the chain of tokens that begins with one log-in;
//! - [`exchange`]: exchanges a refresh token for the next one of its session;
//! - [`reuse`]: decides about refresh tokens that are used a second time;
//! - [`Blocklist`]: ended sessions whose access tokens have not expired yet;
//! - [`login_networks`]: the networks from which a user has logged in recently;
//! - [`login_devices`]: the same with the program, to notice a log-in from elsewhere;
//! - [`api_keys`]: keys with which programs act for a user;
//! - [`CurrentUser`], [`Admin`]: extractors that protect the endpoints that take them;
//! - [`Allowed`]: an extractor that also accepts an API key with a scope;
//! - [`Machine`]: an extractor of the API key of a program that asks about tokens.

pub mod activity;
mod allowed;
pub mod api_keys;
mod blocklist;
mod claims;
mod client;
mod credentials;
mod current_user;
mod end_all;
mod generations;
mod jwks;
mod jwt;
mod key;
mod key_changes;
mod key_schedule;
mod keys;
mod lifetimes;
pub mod login_devices;
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
    allowed::{Allowed, AllowedUncounted, Machine, is_still_allowed, look_up_key},
    api_keys::ApiKeys,
    blocklist::{Blocklist, EndedSessions, SessionStatus},
    claims::{AccessToken, RefreshClaims},
    client::{Client, device_of},
    credentials::X_API_KEY,
    current_user::{Admin, CurrentUser, PossiblyExpired},
    end_all::{AllEnded, end_all},
    jwt::{Jwt, Refusal, Timed},
    key::NewKey,
    key_changes::{
        KeyChange, Revoked, create_if_absent, has_keys, keep_schedule, prune_retired, revoke, rotate,
    },
    key_schedule::{Ages, Schedule},
    keys::{KeyRing, KeyRow, KeyState, list_keys},
    lifetimes::Lifetimes,
    refresh::{Exchange, Grant, Presented, exchange},
    role::Role,
    seal::{Sealer, derive_key},
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(jwks::jwks);
}
