//! Serves the `/coins` API from memory: lists, history, charts, streams, watch lists, alerts.
//!
//! Every replica loads each snapshot that [`market`](crate::market) publishes into its [`View`]; the endpoints read that.

mod alerts;
mod body;
mod chart;
mod csv;
mod delta;
mod fields;
mod find;
mod followed;
mod global;
mod history;
mod history_arrays;
mod list;
mod metric;
mod number;
mod portfolio;
mod read;
mod search;
mod select;
mod services;
mod sparse;
mod stream;
mod trending;
mod unit;
mod view;
mod watchlist;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    alerts::{AlertLinks, AlertMailContext, Alerts, CoinAlertMail, CoinAlertsMail, one_click},
    body::Provenance,
    services::CoinServices,
    view::View,
};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list::list_coins)
        .service(csv::read_coins_csv)
        // Before a coin of that name.
        .service(sparse::list_sparse_coins)
        .service(stream::stream_coins)
        .service(trending::list_trending_coins)
        .service(search::search_coins)
        .service(global::read_global)
        .service(read::read_coin)
        .service(history::read_history)
        .service(chart::read_chart)
        .configure(watchlist::routes)
        .configure(alerts::routes)
        .configure(portfolio::routes);
}
