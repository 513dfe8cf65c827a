//! Market data: what the providers report, kept in PostgreSQL, served from memory.
//!
//! [`sync`] asks the providers on a schedule and commits a snapshot; every replica hears of it and
//! loads it into its [`View`]; the endpoints read that. Nothing a provider does reaches a client.

mod alerts;
mod body;
mod chart;
mod csv;
mod currency;
mod fields;
mod find;
mod history;
mod known;
mod list;
mod model;
mod number;
mod providers;
mod read;
mod read_sync;
mod run_sync;
pub mod social;
mod store;
mod stream;
mod sync;
mod view;
mod watchlist;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    alerts::CoinAlertMail,
    read_sync::SyncStatus,
    store::{Point, Step, ensure_demo, history},
    stream::Streams,
    sync::Sync,
    view::View,
};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list::list_coins)
        // Before a coin of that name.
        .service(stream::stream_coins)
        .service(read::read_coin)
        .service(history::read_history)
        .service(chart::read_chart)
        .service(read_sync::read_sync)
        .service(run_sync::run_sync)
        .configure(watchlist::routes)
        .configure(alerts::routes);
}
