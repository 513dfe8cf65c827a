use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    model::Coin,
    prepared::respond_once,
    view::{Provenance, View},
};
use crate::{
    http::{Path, Problem, Query, kind},
    tokens::CurrentUser,
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadCoin {
    /// ISO 4217 code of the amounts, one of the configured; the first of them by default.
    #[param(min_length = 3, max_length = 3)]
    currency: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct CoinAnswer<'a> {
    #[serde(flatten)]
    provenance: Provenance,
    data: &'a Coin,
}

/// Read a coin
///
/// By its ticker symbol, in any case; of several coins with one symbol the best ranked.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = [])),
    params(
        ReadCoin,
        ("symbol" = String, Path, description = "Ticker symbol.", example = "BTC"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that is there.")
    ),
    responses(
        (status = 200, description = "The coin.", body = CoinAnswer,
            headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "Nothing has changed."),
        (status = 404, description = "`not-found`: no such coin in the last sync.")
    )
)]
#[get("/coins/{symbol}")]
pub async fn read_coin(
    req: HttpRequest,
    _: CurrentUser,
    path: Path<String>,
    query: Query<ReadCoin>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    let snapshot = &view.current(query.0.currency.as_deref())?.snapshot;
    let mut coins = snapshot.coins.iter();
    let found = coins.find(|coin| coin.symbol.to_lowercase() == path.0.to_lowercase());
    let data = found.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(respond_once(&req, &CoinAnswer { provenance: view.provenance(snapshot), data }))
}
