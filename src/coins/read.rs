//! Answers `GET /api/v1/coins/{coin}`: reads one coin.

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{body::Provenance, find, history::HistoryPoint, view::View};
use crate::{
    http::{Path, Problem, Query, respond_once},
    market::Coin,
    tokens::{AllowedUncounted, api_keys::CoinsRead},
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadCoin {
    /// ISO 4217 code of the amounts: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "GBP")]
    currency: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct CoinAnswer<'a> {
    #[serde(flatten)]
    provenance: Provenance,
    data: &'a Coin,
    /// The latest points of five minutes each, the oldest first; at most 24. The last interval may not have ended.
    /// Demonstration data has none.
    history: Vec<HistoryPoint>,
}

/// Read a coin
///
/// Returns a coin of the last sync. Programs should use its id, because ticker symbols are not unique.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ReadCoin,
        ("coin" = String, Path, description = "Id, slug or ticker symbol of the coin, in any case.", example = "BTC"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The coin.", body = CoinAnswer,
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 300, description = "`ambiguous`: several coins have this name; `choices` lists them with their ids."),
        (status = 304, description = "The response has not changed."),
        (status = 404, description = "`not-found`: no such coin in the last sync.")
    )
)]
#[get("/coins/{coin}")]
pub async fn read_coin(
    req: HttpRequest,
    _: AllowedUncounted<CoinsRead>,
    path: Path<String>,
    query: Query<ReadCoin>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    let snapshot = &view.current(query.0.currency.as_deref())?.snapshot;
    let data = find::in_snapshot(snapshot, &path.0)?;
    let points = snapshot.recent.get(&data.id).into_iter().flatten();
    let history = points.map(|point| HistoryPoint::new(point, None)).collect();
    Ok(respond_once(&req, &CoinAnswer { provenance: view.provenance(snapshot), data, history }))
}
