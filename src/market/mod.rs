//! Reads market data from providers, keeps it in PostgreSQL and publishes it to every replica.
//!
//! [`Sync`] asks the providers on a schedule, reads with it what people say about the coins, and commits both as a
//! snapshot. The commit notifies every replica ([`CHANNEL`]). Nothing a provider does reaches a client.

mod after_publish;
mod currency;
mod identity;
mod model;
mod providers;
mod read_sync;
mod run_sync;
mod store;
mod sync;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    after_publish::AfterPublish,
    currency::convert,
    model::{Coin, Identity, Quote, Snapshot},
    providers::{
        FROZEN_AFTER, attribution, demo::CURRENCY as DEMO_CURRENCY, is_real, specs as provider_specs,
        wants_real,
    },
    read_sync::SyncStatus,
    store::{CHANNEL, Point, Step, ensure_demo, history, latest, named},
    sync::Sync,
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(read_sync::read_sync).service(run_sync::run_sync);
}
