//! Lets users keep a list of coins they watch.

mod add;
mod list;
mod remove;
mod store;

use std::collections::HashSet;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::db::{CoinId, Db, DbError, UserId};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_watchlist).service(add::watch_coin).service(remove::unwatch_coin);
}

/// Returns the ids of the coins on the user's watch list.
pub async fn ids(db: &Db, user: UserId) -> Result<HashSet<CoinId>, DbError> {
    db.query(move |conn| store::ids(conn, user)).await
}
