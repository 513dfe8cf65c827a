use std::cmp::Ordering;

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
    http::{Problem, Query},
    tokens::CurrentUser,
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListCoins {
    /// Coins at most; all by default.
    #[param(minimum = 1, maximum = 250)]
    #[validate(range(min = 1, max = 250, message = "must be from 1 to 250"))]
    limit: Option<u32>,
    /// What to sort by.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// By default `asc` for rank, symbol and name, else `desc`. Unreported values come last.
    #[param(inline)]
    order: Option<Order>,
    /// Part of a name or start of a symbol, in any case; 1 to 100 characters.
    #[param(min_length = 1, max_length = 100)]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    q: Option<String>,
    /// ISO 4217 code of the amounts, one of the configured; the first of them by default.
    #[param(min_length = 3, max_length = 3)]
    currency: Option<String>,
}

impl ListCoins {
    /// The answer that is prepared.
    fn is_for_all(&self) -> bool {
        self.limit.is_none() && self.sort == Sort::Rank && self.order.is_none() && self.q.is_none()
    }
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(default = "rank")]
pub enum Sort {
    #[default]
    Rank,
    Symbol,
    Name,
    Price,
    #[serde(rename = "volume_24h")]
    Volume24h,
    #[serde(rename = "volume_change_24h")]
    VolumeChange24h,
    #[serde(rename = "percent_change_1h")]
    PercentChange1h,
    #[serde(rename = "percent_change_24h")]
    PercentChange24h,
    #[serde(rename = "percent_change_7d")]
    PercentChange7d,
    MarketCap,
}

#[derive(Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Asc,
    Desc,
}

#[derive(Serialize, ToSchema)]
pub struct CoinList<'a> {
    #[serde(flatten)]
    pub(super) provenance: Provenance,
    pub(super) data: Vec<&'a Coin>,
}

/// List coins
///
/// The top coins by market capitalisation as of the last sync.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = [])),
    params(ListCoins, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that is there.")),
    responses(
        (status = 200, description = "The coins.", body = CoinList,
            headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "Nothing has changed.")
    )
)]
#[get("/coins")]
pub async fn list_coins(
    req: HttpRequest,
    _: CurrentUser,
    query: Query<ListCoins>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let current = view.current(query.currency.as_deref())?;
    if query.is_for_all() {
        return Ok(current.whole.respond(&req));
    }
    let snapshot = &current.snapshot;
    let wanted = query.q.map(|text| text.to_lowercase());
    let matches = |coin: &&Coin| {
        wanted.as_ref().is_none_or(|text| {
            coin.name.to_lowercase().contains(text) || coin.symbol.to_lowercase().starts_with(text)
        })
    };
    let mut found: Vec<&Coin> = snapshot.coins.iter().filter(matches).collect();
    let by_default = match query.sort {
        Sort::Rank | Sort::Symbol | Sort::Name => Order::Asc,
        _ => Order::Desc,
    };
    let order = query.order.unwrap_or(by_default);
    // Stable, so that equal ones stay by rank.
    found.sort_by(|a, b| compare(a, b, query.sort, order));
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    found.truncate(limit);
    Ok(respond_once(&req, &CoinList { provenance: view.provenance(snapshot), data: found }))
}

fn compare(a: &Coin, b: &Coin, sort: Sort, order: Order) -> Ordering {
    let directed = |ordering: Ordering| match order {
        Order::Asc => ordering,
        Order::Desc => ordering.reverse(),
    };
    match sort {
        Sort::Rank => directed(a.rank.cmp(&b.rank)),
        Sort::Symbol => directed(a.symbol.cmp(&b.symbol)),
        Sort::Name => directed(a.name.to_lowercase().cmp(&b.name.to_lowercase())),
        _ => match (value(a, sort), value(b, sort)) {
            (Some(a), Some(b)) => directed(a.total_cmp(&b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        },
    }
}

fn value(coin: &Coin, sort: Sort) -> Option<f64> {
    match sort {
        Sort::Rank | Sort::Symbol | Sort::Name => None,
        Sort::Price => coin.price,
        Sort::Volume24h => coin.volume_24h,
        Sort::VolumeChange24h => coin.volume_change_24h,
        Sort::PercentChange1h => coin.percent_change_1h,
        Sort::PercentChange24h => coin.percent_change_24h,
        Sort::PercentChange7d => coin.percent_change_7d,
        Sort::MarketCap => coin.market_cap,
    }
}
