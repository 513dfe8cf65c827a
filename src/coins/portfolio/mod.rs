//! Lets users record what they bought and sold, and computes value, gains and losses.
//!
//! Amounts are exact decimals from the request to the response: text in JSON, `numeric` in the database, [`bigdecimal`]
//! between. A portfolio has one currency, so that no gain depends on an exchange rate that was never paid.

mod body;
mod create;
mod csv;
mod decimal;
mod delete;
mod history;
mod import;
mod list;
mod model;
mod positions;
mod read;
mod replace;
mod store;
mod summary;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{body::default_currency, store::held};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(summary::read_portfolio)
        .service(history::read_portfolio_history)
        .service(list::list_transactions)
        .service(csv::export_transactions)
        .service(import::import_transactions)
        .service(create::create_transaction)
        .service(read::read_transaction)
        .service(replace::replace_transaction)
        .service(delete::delete_transaction);
}
