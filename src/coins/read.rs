use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    model::Coin,
    view::{Provenance, View},
};
use crate::{
    http::{Path, Problem, kind},
    tokens::CurrentUser,
};

#[derive(Serialize, ToSchema)]
pub struct CoinAnswer {
    #[serde(flatten)]
    provenance: Provenance,
    data: Coin,
}

/// Read a coin
///
/// By its ticker symbol, in any case; of several coins with one symbol the best ranked.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = [])),
    params(("symbol" = String, Path, description = "Ticker symbol.", example = "BTC")),
    responses(
        (status = 200, description = "The coin.", body = CoinAnswer),
        (status = 404, description = "`not-found`: no such coin in the last sync.")
    )
)]
#[get("/coins/{symbol}")]
pub async fn read_coin(
    _: CurrentUser,
    path: Path<String>,
    view: Data<View>,
) -> Result<Json<CoinAnswer>, Problem> {
    let (snapshot, provenance) = view.current()?;
    let mut coins = snapshot.coins.iter();
    let found = coins.find(|coin| coin.symbol.to_lowercase() == path.0.to_lowercase());
    let data = found.cloned().ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(Json(CoinAnswer { provenance, data }))
}
