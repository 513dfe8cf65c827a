//! Market data: what the providers report, kept in PostgreSQL, served from memory.
//!
//! [`sync`] asks a provider on a schedule and commits a snapshot; every replica hears of it and
//! loads it into its [`View`]; the endpoints read that. Nothing a provider does reaches a client.

mod list;
mod model;
mod prepared;
mod providers;
mod read;
pub mod sentiment;
mod store;
pub mod sync;
mod view;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{store::ensure_demo, view::View};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_coins).service(read::read_coin);
}
