//! Answers `GET /api/v1/coins/global`: shows figures of the whole market, our own mean sentiment, and the fear and greed
//! index.

mod body;
mod reason;
mod sentiment;

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use utoipa::IntoParams;
use validator::Validate;

use self::body::GlobalMarket;
use super::view::View;
use crate::{
    clock::Clock,
    config::Coins,
    http::{Problem, Query, respond_once},
    tokens::{Allowed, api_keys::CoinsRead},
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadGlobal {
    /// ISO 4217 code of the amounts: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "GBP")]
    currency: Option<String>,
}

/// Read figures of the whole market
///
/// Returns the market capitalisation and the volume of all coins of the world, as a provider states them, the mean sentiment
/// of the coins in our list, and the fear and greed index. Figures and index are read once an hour; what is not known is null,
/// and `missing` has the reason. Sums over our list are never shown as those of the world.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ReadGlobal,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The figures.", body = GlobalMarket,
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 304, description = "The response has not changed.")
    )
)]
#[get("/coins/global")]
pub async fn read_global(
    req: HttpRequest,
    _: Allowed<CoinsRead>,
    query: Query<ReadGlobal>,
    view: Data<View>,
    settings: Data<Coins>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let currency = view.code(query.0.currency.as_deref())?;
    let snapshot = &view.current(None)?.snapshot;
    let body = GlobalMarket::new(currency, snapshot, &view.global(), &settings, clock.now());
    Ok(respond_once(&req, &body))
}
