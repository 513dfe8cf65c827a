//! Lists the coins on the user's watch list.

use actix_web::{
    get,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::store;
use crate::{
    db::{CoinId, Db},
    http::Problem,
    market::Identity,
    tokens::{Allowed, api_keys::WatchlistRead},
};

#[derive(Serialize, ToSchema)]
pub struct Watchlist {
    /// The first added first; at most 250.
    data: Vec<WatchedCoin>,
}

#[derive(Serialize, ToSchema)]
pub struct WatchedCoin {
    #[schema(value_type = i64, example = 1)]
    id: CoinId,
    #[schema(example = "BTC")]
    symbol: String,
    #[schema(example = "Bitcoin")]
    name: String,
    #[schema(example = "bitcoin")]
    slug: String,
    added_at: DateTime<Utc>,
}

/// List the coins you watch
///
/// Returns the coins on your watch list, also those that have left the list of coins. For their prices use
/// `GET /coins?watchlist=true`.
#[utoipa::path(
    tag = "watchlist",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The coins.", body = Watchlist))
)]
#[get("/user/watchlist")]
pub async fn list_watchlist(me: Allowed<WatchlistRead>, db: Data<Db>) -> Result<Json<Watchlist>, Problem> {
    let rows = db.query(move |conn| store::list(conn, me.id)).await?;
    let coin =
        |(Identity { id, symbol, name, slug }, added_at)| WatchedCoin { id, symbol, name, slug, added_at };
    Ok(Json(Watchlist { data: rows.into_iter().map(coin).collect() }))
}
