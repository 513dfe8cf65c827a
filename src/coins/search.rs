//! Answers `GET /api/v1/coins/search`: finds coins, also those that were never synced.

use actix_web::{
    get,
    web::{Data, Json},
};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{body::Attribution, view::View};
use crate::{
    db::{CoinId, Db},
    http::{Problem, Query},
    market::{self, FoundCoin},
    tokens::{Allowed, api_keys::CoinsRead},
};

const DEFAULT_LIMIT: u32 = 10;
/// Matches that are ordered.
const MAX_MATCHES: i64 = 100;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchCoins {
    /// The start of a symbol or name, or a whole slug, in any case; 1 to 100 characters.
    #[param(min_length = 1, max_length = 100, example = "pepe")]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    q: String,
    /// Maximum number of coins; 10 by default.
    #[param(minimum = 1, maximum = 50, example = 10)]
    #[validate(range(min = 1, max = 50, message = "must be from 1 to 50"))]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub struct CoinSearch {
    /// Coins whose symbol, name or slug is `q` come first, then those whose symbol begins with it, then names. Within each,
    /// the order is that of `rank`; coins without a rank follow.
    data: Vec<CoinMatch>,
    /// The providers of the names.
    sources: Vec<Attribution>,
}

/// A coin that matches a search.
#[derive(Serialize, ToSchema)]
pub struct CoinMatch {
    /// Mintage's own id; null for a coin that was never synced.
    #[schema(value_type = Option<i64>, example = json!(null))]
    id: Option<CoinId>,
    /// Names the coin in requests while it has no `id`: a provider and its own id of the coin. Null for a coin that the
    /// provider does not list any more.
    #[schema(example = "coingecko:pepe")]
    r#ref: Option<String>,
    #[schema(example = "PEPE")]
    symbol: String,
    #[schema(example = "Pepe")]
    name: String,
    #[schema(example = "pepe")]
    slug: String,
    /// Rank by market capitalisation, as of the last sync or, for a coin that is not in it, of the last day; null if it is
    /// unknown.
    #[schema(example = 31)]
    rank: Option<i32>,
    /// Whether the last sync has data of it. A coin outside of the list is synced while users watch it, have an alert on it or
    /// hold it.
    #[schema(example = false)]
    synced: bool,
}

/// Search coins
///
/// Finds coins by the start of their symbol or name: those of the list, and all others that the provider knows. To follow a
/// coin that is not synced, put it on your watch list, into an alert or into your portfolio by its `ref`; the next sync then
/// reads it. The names are read once a day (`COINS_CATALOGUE`).
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(SearchCoins),
    responses((status = 200, description = "The coins.", body = CoinSearch))
)]
#[get("/coins/search")]
pub async fn search_coins(
    _: Allowed<CoinsRead>,
    query: Query<SearchCoins>,
    view: Data<View>,
    db: Data<Db>,
) -> Result<Json<CoinSearch>, Problem> {
    let SearchCoins { q, limit } = query.0;
    let text = q.trim().to_lowercase();
    if text.is_empty() {
        return Err(Problem::invalid("/q", "text", "must have a letter or digit"));
    }
    let snapshot = view.current(None)?.snapshot.clone();
    let identities = view.identities.clone();
    let search =
        move |conn: &mut PgConnection| market::search_catalogue(conn, &text, &identities, MAX_MATCHES);
    let mut found = db.query(search).await?;
    let rank = |coin: &FoundCoin| {
        let synced = snapshot.coins.iter().find(|synced| Some(synced.id) == coin.id);
        (synced.map(|synced| synced.rank).or(coin.rank), synced.is_some())
    };
    // A stable sort keeps the order of coins without a rank.
    found.sort_by_cached_key(|coin| (coin.distance, rank(coin).0.unwrap_or(i32::MAX)));
    found.truncate(usize::try_from(limit.unwrap_or(DEFAULT_LIMIT)).expect("small"));
    let mut names: Vec<&str> = found.iter().filter_map(|coin| coin.provider.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let sources = names.iter().map(|name| Attribution::of(name)).collect();
    let data = found.iter().map(|coin| {
        let (rank, synced) = rank(coin);
        let FoundCoin { id, symbol, name, slug, .. } = coin;
        let reference = coin.provider.as_ref().zip(coin.provider_coin_id.as_ref());
        CoinMatch {
            id: *id,
            r#ref: reference.map(|(provider, id)| format!("{provider}:{id}")),
            symbol: symbol.clone(),
            name: name.clone(),
            slug: slug.clone(),
            rank,
            synced,
        }
    });
    Ok(Json(CoinSearch { data: data.collect(), sources }))
}
