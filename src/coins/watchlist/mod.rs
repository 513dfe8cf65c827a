//! Lets users keep a list of coins they watch.

mod add;
mod list;
mod remove;
mod store;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    db::{Db, DbError, UserId},
    market::Identity,
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_watchlist).service(add::watch_coin).service(remove::unwatch_coin);
}

/// Returns the coins on the user's watch list.
pub async fn coins(db: &Db, user: UserId) -> Result<Vec<Identity>, DbError> {
    let rows = db.query(move |conn| store::list(conn, user)).await?;
    Ok(rows.into_iter().map(|(coin, _)| coin).collect())
}
