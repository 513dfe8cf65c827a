//! Answers `GET /api/v1/coins/sparse`: lists coins with selected fields.

use actix_web::{HttpRequest, HttpResponse, get, web::Data};

use super::{
    fields::{Fields, SparseCoinList},
    select::Selection,
    view::View,
};
use crate::{
    http::{Problem, Query, kind, respond_once},
    tokens::{AllowedUncounted, api_keys::CoinsRead},
};

/// List coins with selected fields
///
/// Returns the coins that `GET /api/v1/coins` returns for the same parameters, each with its `id`, its `symbol` and the
/// fields that `fields` names. All other fields are absent, so every one but these two is optional.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ("fields" = String, Query, min_length = 1, max_length = 1000, example = "price,social.sentiment",
            description = "The fields to return besides `id` and `symbol`, comma-separated. `social` is the whole \
                object, `social.sentiment` one field of it."),
        Selection,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The coins, with the selected fields.", body = SparseCoinList,
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 304, description = "The response has not changed."),
        (status = 403, description = "`insufficient-scope`: the API key lacks `coins:read`, or `watchlist:read` for `watchlist=true`.")
    )
)]
#[get("/coins/sparse")]
pub async fn list_sparse_coins(
    req: HttpRequest,
    me: AllowedUncounted<CoinsRead>,
    query: Query<Selection>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let Some(fields) = &query.fields else {
        return Err(Problem::new(&kind::MALFORMED_QUERY).field(
            "/fields",
            "required",
            "must name the fields",
        ));
    };
    let fields = Fields::parse(fields)?;
    query.refuse_bom()?;
    query.refuse_sparkline()?;
    let current = view.current(query.currency.as_deref())?;
    let watched = query.watched(&req, &me).await?;
    let snapshot = &current.snapshot;
    let found = query.of(snapshot, watched.as_ref())?;
    let data = found.into_iter().map(|coin| fields.of(coin, snapshot)).collect();
    Ok(respond_once(
        &req,
        &SparseCoinList {
            provenance: view.provenance(snapshot),
            data,
            absent: watched.map(|watched| watched.absent(snapshot)),
        },
    ))
}
