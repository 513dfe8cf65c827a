//! Adds a coin to the user's watch list.

use actix_web::{HttpResponse, put, web::Data};

use super::{
    super::{find, view::View},
    store::{self, Added, MAX_COINS},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Path, Problem, kind},
    tokens::{Allowed, Refusal, api_keys::WatchlistWrite},
};

/// Watch a coin
///
/// Adds a coin to your watch list; at most 250. A coin outside of the list is synced from the next sync on, while a user
/// watches it. The request is idempotent.
#[utoipa::path(
    tag = "watchlist",
    security(("bearer" = []), ("apiKey" = [])),
    params(("coin" = String, Path, description = "Id, slug or ticker symbol of the coin, in any case, or its `ref` from a search.", example = "BTC")),
    responses(
        (status = 204, description = "The coin is on your watch list."),
        (status = 404, description = "`not-found`: no such coin."),
        (status = 409, description = "`limit-reached`: the list has 250 coins, the maximum; `ambiguous-name`: several \
            coins have this name, and `choices` lists them with their ids.")
    )
)]
#[put("/user/watchlist/{coin}")]
pub async fn watch_coin(
    me: Allowed<WatchlistWrite>,
    path: Path<String>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let coin = find::to_follow(&view, &db, &path.0).await?.id;
    let now = clock.now();
    match db.query_tx(move |conn| store::add(conn, me.id, coin, now)).await? {
        Added::Yes => Ok(HttpResponse::NoContent().finish()),
        Added::Full => Err(Problem::new(&kind::LIMIT_REACHED).detail(format!("at most {MAX_COINS} coins"))),
        Added::NoUser => Err(Refusal::Revoked.into()),
    }
}
