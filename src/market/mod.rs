//! Reads market data from providers, keeps it in PostgreSQL and publishes it to every replica.
//!
//! [`Sync`] calls the providers on a schedule, collects social figures at the same time, and commits both as a
//! snapshot. The commit notifies every replica ([`CHANNEL`]). Requests never wait for a provider.

mod currency;
mod fear_and_greed;
mod global;
mod hooks;
mod identity;
mod model;
mod plausible;
mod providers;
mod read_sync;
mod run_sync;
mod status;
mod store;
mod sync;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    currency::convert,
    fear_and_greed::{ATTRIBUTION as FEAR_AND_GREED_ATTRIBUTION, SOURCE as FEAR_AND_GREED},
    global::{Classification, FearAndGreed, Global, GlobalFigures, Sourced},
    hooks::SyncHooks,
    identity::Identities,
    model::{Coin, Identity, Quote, Snapshot},
    providers::{
        FROZEN_AFTER, attribution, id_namespaces, is_invented, is_real,
        simulation::NAMES as SIMULATED_PROVIDERS, specs as provider_specs, wants_real,
    },
    status::SyncStatus,
    store::{
        CHANNEL, FoundCoin, Point, Step, adopt_coin, ensure_demo, find_coin, find_coins, find_ref, global,
        has_real, history, is_simulated, latest, newest_data, search_catalogue, time_of,
    },
    sync::Sync,
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(read_sync::read_sync).service(run_sync::run_sync);
}
