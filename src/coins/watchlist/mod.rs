//! The coins that a user watches.

mod add;
mod list;
mod remove;
mod store;

use std::collections::HashSet;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    db::{Db, UserId},
    http::Problem,
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_watchlist).service(add::watch_coin).service(remove::unwatch_coin);
}

/// The ids of the coins.
///
/// # Errors
/// `unavailable`.
pub async fn ids(db: &Db, user: UserId) -> Result<HashSet<i64>, Problem> {
    db.run(move |conn| Ok(store::ids(conn, user)?)).await
}
