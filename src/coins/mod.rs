//! Market data: what the providers report, kept in PostgreSQL, served from memory.
//!
//! [`sync`] asks the providers on a schedule and commits a snapshot; every replica hears of it and
//! loads it into its [`View`]; the endpoints read that. Nothing a provider does reaches a client.

mod currency;
mod known;
mod list;
mod model;
mod prepared;
mod providers;
mod read;
mod read_sync;
mod run_sync;
pub mod sentiment;
pub mod social;
mod store;
mod sync;
mod upstream;
mod view;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    store::{Point, Step, ensure_demo, history},
    sync::Sync,
    view::View,
};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list::list_coins)
        .service(read::read_coin)
        .service(read_sync::read_sync)
        .service(run_sync::run_sync);
}
