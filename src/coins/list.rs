//! Answers `GET /api/v1/coins`: lists coins as JSON or CSV.

use std::{cmp::Ordering, collections::HashSet};

use actix_web::{FromRequest, HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    body::CoinList,
    csv,
    fields::{EitherCoinList, Fields, SparseCoinList},
    view::View,
    watchlist,
};
use crate::{
    db::{CoinId, Db},
    http::{Problem, Query, accept, respond_once, respond_with},
    market::Coin,
    tokens::{
        AllowedUncounted,
        api_keys::{CoinsRead, WatchlistRead},
    },
};

const CSV: &str = "text/csv";
const MAX_SYMBOLS: usize = 100;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListCoins {
    /// Maximum number of coins; all by default.
    #[param(minimum = 1, maximum = 250)]
    #[validate(range(min = 1, max = 250, message = "must be from 1 to 250"))]
    limit: Option<u32>,
    /// Sort key.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// Direction: by default `asc` for rank, symbol and name, `desc` for the others. Null values come last in both.
    #[param(inline)]
    order: Option<Order>,
    /// Searches for part of a name or the start of a symbol, in any case; 1 to 100 characters.
    #[param(min_length = 1, max_length = 100)]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    q: Option<String>,
    /// Returns only these ticker symbols, in any case: up to 100, comma-separated, such as `btc,eth`.
    #[param(max_length = 1000, pattern = r"^[^,]*[^,\s][^,]*(,[^,]*[^,\s][^,]*){0,99}$")]
    #[validate(length(min = 1, max = 1000, message = "must have 1 to 1000 characters"))]
    symbols: Option<String>,
    /// ISO 4217 code of the amounts: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3)]
    currency: Option<String>,
    /// Returns only these members of each coin, besides `id` and `symbol`: up to 40, comma-separated, such as
    /// `price,social.sentiment`.
    #[param(min_length = 1, max_length = 1000)]
    #[validate(length(min = 1, max = 1000, message = "must have 1 to 1000 characters"))]
    fields: Option<String>,
    /// Returns only the coins on your watch list.
    #[serde(default)]
    #[param(default = false)]
    watchlist: bool,
}

impl ListCoins {
    /// Whether the prepared response answers this request.
    fn selects_everything(&self) -> bool {
        self.limit.is_none()
            && self.sort == Sort::Rank
            && self.order.is_none()
            && self.q.is_none()
            && self.symbols.is_none()
            && self.fields.is_none()
            && !self.watchlist
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
    Sentiment,
    SentimentBasic,
    Popularity,
    PostsPerHour,
}

#[derive(Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Asc,
    Desc,
}

/// List coins
///
/// Returns the top coins by market capitalisation as of the last sync, each with the sentiment and number of posts about
/// it. The response is JSON, or a table (RFC 4180) with `Accept: text/csv`; a client that accepts neither gets JSON.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(ListCoins, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")),
    responses(
        (status = 200, description = "The coins.",
            content((EitherCoinList = "application/json"), (String = "text/csv",
                example = "id,symbol,price,currency,source,as_of,stale\r\n1,BTC,70211.4421,GBP,demo,2026-11-20T10:00:00Z,true\r\n")),
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."))),
        (status = 304, description = "The response has not changed."),
        (status = 403, description = "`insufficient-scope`: the API key lacks `coins:read`, or `watchlist:read` for `watchlist=true`.")
    )
)]
// Services and parameters are extracted by hand, below the first return: most requests have no parameters, and a prepared
// response then costs no parsing.
#[get("/coins")]
pub async fn list_coins(
    req: HttpRequest,
    me: AllowedUncounted<CoinsRead>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    let as_table = accept::prefers(&req, CSV, "application/json");
    if req.query_string().is_empty() && !as_table {
        return Ok(view.current(None)?.whole.respond(&req));
    }
    let Query(query) = Query::<ListCoins>::extract(&req).await?;
    let current = view.current(query.currency.as_deref())?;
    if query.selects_everything() && !as_table {
        return Ok(current.whole.respond(&req));
    }
    let fields = Fields::parse(query.fields.as_deref())?;
    let db = req.app_data::<Data<Db>>().expect("set by the app");
    if query.watchlist {
        me.0.require::<WatchlistRead>()?;
    }
    let watched = if query.watchlist { Some(watchlist::ids(db, me.0.id).await?) } else { None };
    let snapshot = &current.snapshot;
    let found = select(&snapshot.coins, &query, watched.as_ref())?;
    let provenance = view.provenance(snapshot);
    if as_table {
        let text = csv::table(&found, &fields, &provenance);
        return Ok(respond_with(&req, "text/csv; charset=utf-8; header=present", text.into_bytes()));
    }
    if fields.selects_everything() {
        return Ok(respond_once(&req, &CoinList { provenance, data: found }));
    }
    let data = found.into_iter().map(|coin| fields.of(coin)).collect();
    Ok(respond_once(&req, &SparseCoinList { provenance, data }))
}

fn select<'a>(
    coins: &'a [Coin],
    query: &ListCoins,
    watched: Option<&HashSet<CoinId>>,
) -> Result<Vec<&'a Coin>, Problem> {
    let text = query.q.as_ref().map(|text| text.to_lowercase());
    let symbols: Option<HashSet<String>> =
        query.symbols.as_ref().map(|list| list.split(',').map(|one| one.trim().to_lowercase()).collect());
    if symbols.as_ref().is_some_and(|symbols| symbols.len() > MAX_SYMBOLS || symbols.contains("")) {
        let message = format!("must be up to {MAX_SYMBOLS} comma-separated ticker symbols");
        return Err(Problem::invalid("/symbols", "list", message));
    }
    let matches = |coin: &&Coin| {
        let symbol = coin.symbol.to_lowercase();
        watched.is_none_or(|watched| watched.contains(&coin.id))
            && symbols.as_ref().is_none_or(|symbols| symbols.contains(&symbol))
            && text
                .as_ref()
                .is_none_or(|text| coin.name.to_lowercase().contains(text) || symbol.starts_with(text))
    };
    let mut found: Vec<&Coin> = coins.iter().filter(matches).collect();
    let by_default = match query.sort {
        Sort::Rank | Sort::Symbol | Sort::Name => Order::Asc,
        _ => Order::Desc,
    };
    let order = query.order.unwrap_or(by_default);
    // A stable sort keeps equal coins in order of rank.
    found.sort_by(|a, b| compare(a, b, query.sort, order));
    found.truncate(query.limit.map_or(usize::MAX, |limit| limit as usize));
    Ok(found)
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
    let social = coin.social.as_ref();
    match sort {
        Sort::Rank | Sort::Symbol | Sort::Name => None,
        Sort::Price => coin.price,
        Sort::Volume24h => coin.volume_24h,
        Sort::VolumeChange24h => coin.volume_change_24h,
        Sort::PercentChange1h => coin.percent_change_1h,
        Sort::PercentChange24h => coin.percent_change_24h,
        Sort::PercentChange7d => coin.percent_change_7d,
        Sort::MarketCap => coin.market_cap,
        Sort::Sentiment => social?.sentiment,
        Sort::SentimentBasic => social?.sentiment_basic,
        Sort::Popularity => social?.popularity,
        Sort::PostsPerHour => social?.posts_per_hour,
    }
}
