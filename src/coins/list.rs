//! Answers `GET /api/v1/coins`: lists coins.

use actix_web::{FromRequest, HttpRequest, HttpResponse, get, web::Data};

use super::{body::CoinList, select::Selection, view::View};
use crate::{
    http::{Problem, Query, kind, respond_once},
    tokens::{AllowedUncounted, api_keys::CoinsRead},
};

/// List coins
///
/// Returns the top coins by market capitalisation as of the last sync, each with the sentiment and number of posts about
/// it. `GET /api/v1/coins/sparse` returns only some members of each coin, `GET /api/v1/coins.csv` a table.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ("sparkline" = Option<bool>, Query, example = true,
            description = "Adds `sparkline_7d` to each coin; false by default, because it makes the response much longer."),
        Selection,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The coins.", body = CoinList,
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 304, description = "The response has not changed."),
        (status = 403, description = "`insufficient-scope`: the API key lacks `coins:read`, or `watchlist:read` for `watchlist=true`.")
    )
)]
// Parameters are extracted by hand, below the first return: most requests have none, and a prepared response then costs
// no parsing.
#[get("/coins")]
pub async fn list_coins(
    req: HttpRequest,
    me: AllowedUncounted<CoinsRead>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    if req.query_string().is_empty() {
        return Ok(view.current(None)?.whole.respond(&req));
    }
    let Query(query) = Query::<Selection>::extract(&req).await?;
    if query.fields.is_some() {
        let message = "is a parameter of GET /api/v1/coins/sparse and GET /api/v1/coins.csv";
        return Err(Problem::new(&kind::MALFORMED_QUERY).field("/fields", "query", message));
    }
    query.refuse_bom()?;
    let current = view.current(query.currency.as_deref())?;
    if query.selects_everything() {
        let whole = if query.has_sparklines() { view.sparklined(&current) } else { &current.whole };
        return Ok(whole.respond(&req));
    }
    let watched = query.watched(&req, &me).await?;
    let snapshot = &current.snapshot;
    let found = query.of(snapshot, watched.as_ref())?;
    let (provenance, absent) = (view.provenance(snapshot), watched.map(|watched| watched.absent(snapshot)));
    if query.has_sparklines() {
        let coins: Vec<_> = found.into_iter().map(|coin| snapshot.with_sparkline(coin)).collect();
        return Ok(respond_once(&req, &CoinList { provenance, data: coins.iter().collect(), absent }));
    }
    Ok(respond_once(&req, &CoinList { provenance, data: found, absent }))
}
