//! Removes a coin from the user's watch list.

use actix_web::{HttpResponse, delete, web::Data};

use super::{
    super::{find, view::View},
    store,
};
use crate::{
    db::Db,
    http::{Path, Problem},
    tokens::{Allowed, api_keys::WatchlistWrite},
};

/// Stop watching a coin
///
/// Removes a coin from your watch list. The request is idempotent.
#[utoipa::path(
    tag = "watchlist",
    security(("bearer" = []), ("apiKey" = [])),
    params(("coin" = String, Path, description = "Id, slug or ticker symbol of the coin, in any case, or its `ref` from a search.", example = "BTC")),
    responses(
        (status = 204, description = "The coin is not on your watch list."),
        (status = 404, description = "`not-found`: no such coin."),
        (status = 409, description = "`ambiguous-name`: several coins have this name; `choices` lists them with their ids.")
    )
)]
#[delete("/user/watchlist/{coin}")]
pub async fn unwatch_coin(
    me: Allowed<WatchlistWrite>,
    path: Path<String>,
    view: Data<View>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let coin = find::anywhere(&view, &db, &path.0).await.map_err(find::refuse_change)?.id;
    db.query(move |conn| store::remove(conn, me.id, coin)).await?;
    Ok(HttpResponse::NoContent().finish())
}
