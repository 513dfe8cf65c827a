//! Stores the names of all coins that a provider knows, and makes a coin of ours from one of them.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Integer, Nullable, Text},
};

use super::{
    super::{identity::Identities, model::Identity, providers::CatalogueCoin},
    identity::{alias, create, insert_ref, lock_refs},
    simulation::is_simulated,
};
use crate::{
    db::{
        CoinId,
        schema::{coin_catalogue, coin_refs, coins},
    },
    upstream::{self, Advice, Limits, ServiceState, after_failure},
};

/// Between two readings.
const INTERVAL: TimeDelta = TimeDelta::days(1);
/// Rows of one statement.
const MAX_ROWS: usize = 2000;

/// The right to read a list.
pub struct CatalogueClaim {
    pub provider: &'static str,
    /// Before the try.
    pub before: ServiceState,
}

/// The name under which the state of a provider's list of all coins is stored, apart from that of its market data: a failure
/// of one must not stop the other.
pub fn catalogue_service(provider: &str) -> String {
    format!("{provider}:catalogue")
}

/// Claims the reading of a list if the last one is a day old, and reserves its cost; needs a transaction. `sources` are the
/// providers, in the order in which they are tried. The try counts as a failure until it succeeds, which keeps other
/// replicas from trying at the same time.
pub fn claim_catalogue(
    conn: &mut PgConnection,
    sources: &[(&'static str, Limits)],
    now: DateTime<Utc>,
) -> QueryResult<Option<CatalogueClaim>> {
    sql_query("SELECT pg_advisory_xact_lock(hashtext('mintage catalogue'))").execute(conn)?;
    // Names of real coins would lead nowhere in a simulated market.
    if is_simulated(conn)? {
        return Ok(None);
    }
    let mut ready = None;
    for (provider, limits) in sources {
        let own = upstream::state(conn, &catalogue_service(provider))?;
        // A time ahead comes from a wrong clock.
        if own.last_success_at.is_some_and(|at| at <= now && now - at < INTERVAL) {
            return Ok(None);
        }
        let market = upstream::state(conn, provider)?;
        let waits = market.waits_until(now).or(own.waits_until(now));
        if waits.or(market.is_spent_until(*limits, 1, now)).is_none() && ready.is_none() {
            ready = Some((*provider, *limits, own));
        }
    }
    let Some((provider, limits, before)) = ready else { return Ok(None) };
    if !upstream::reserve(conn, provider, 1, limits, now.date_naive())? {
        return Ok(None);
    }
    let begun = after_failure(&before, Advice::BackOff, now);
    upstream::record_failure(conn, &catalogue_service(provider), &begun, "the reading did not end", now)?;
    Ok(Some(CatalogueClaim { provider, before }))
}

/// Returns coins in parts that fit into one transaction each.
pub fn parts(coins: &[CatalogueCoin]) -> impl Iterator<Item = &[CatalogueCoin]> {
    coins.chunks(MAX_ROWS)
}

/// Adds coins of this namespace, or renews them.
pub fn put_catalogue(conn: &mut PgConnection, namespace: &str, coins: &[CatalogueCoin]) -> QueryResult<()> {
    let texts = |text: fn(&CatalogueCoin) -> &str| coins.iter().map(text).collect::<Vec<_>>();
    sql_query(
        "INSERT INTO coin_catalogue AS c (provider, provider_coin_id, symbol, name, slug, rank) \
         SELECT $1, n.* FROM unnest($2, $3, $4, $5, $6) AS n \
         ON CONFLICT (provider, provider_coin_id) DO UPDATE \
         SET symbol = excluded.symbol, name = excluded.name, slug = excluded.slug, rank = excluded.rank \
         WHERE (c.symbol, c.name, c.slug, c.rank) \
             IS DISTINCT FROM (excluded.symbol, excluded.name, excluded.slug, excluded.rank)",
    )
    .bind::<Text, _>(namespace)
    .bind::<Array<Text>, _>(texts(|coin| &coin.provider_coin_id))
    .bind::<Array<Text>, _>(texts(|coin| &coin.symbol))
    .bind::<Array<Text>, _>(texts(|coin| &coin.name))
    .bind::<Array<Text>, _>(texts(|coin| &coin.slug))
    .bind::<Array<Nullable<Integer>>, _>(coins.iter().map(|coin| coin.rank).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

/// Deletes all coins but these ones of this namespace.
pub fn retain_catalogue(conn: &mut PgConnection, namespace: &str, ids: &[String]) -> QueryResult<()> {
    sql_query(
        "DELETE FROM coin_catalogue c WHERE c.provider <> $1 \
         OR NOT EXISTS (SELECT FROM unnest($2) AS kept (id) WHERE kept.id = c.provider_coin_id)",
    )
    .bind::<Text, _>(namespace)
    .bind::<Array<Text>, _>(ids)
    .execute(conn)?;
    Ok(())
}

/// A coin that matches a search: one of ours, one of the catalogue, or both.
#[derive(QueryableByName)]
pub struct FoundCoin {
    #[diesel(sql_type = Nullable<BigInt>)]
    pub id: Option<CoinId>,
    /// The namespace of `provider_coin_id`.
    #[diesel(sql_type = Nullable<Text>)]
    pub provider: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub provider_coin_id: Option<String>,
    #[diesel(sql_type = Text)]
    pub symbol: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub slug: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub rank: Option<i32>,
    /// 0 if symbol, name or slug is what was searched for, 1 if the symbol begins with it, 2 if the name does.
    #[diesel(sql_type = Integer)]
    pub distance: i32,
}

/// Finds coins whose slug is this text, or whose symbol or name begin with it: the nearest first, then those of ours, then by
/// rank. `text` is in lower case.
pub fn search_catalogue(
    conn: &mut PgConnection,
    text: &str,
    identities: &Identities,
    limit: i64,
) -> QueryResult<Vec<FoundCoin>> {
    let mut found = matching(conn, text, limit)?;
    for coin in &mut found {
        if let (None, Some(provider), Some(id)) = (coin.id, &coin.provider, &coin.provider_coin_id) {
            coin.id = alias(conn, provider, id, identities)?;
        }
    }
    // Coins that the tables recognise were found twice.
    let listed: HashSet<CoinId> =
        found.iter().filter(|coin| coin.provider.is_some()).filter_map(|coin| coin.id).collect();
    found.retain(|coin| coin.provider.is_some() || coin.id.is_none_or(|id| !listed.contains(&id)));
    Ok(found)
}

fn matching(conn: &mut PgConnection, text: &str, limit: i64) -> QueryResult<Vec<FoundCoin>> {
    const MATCHES: &str = "(slug = $1 OR lower(symbol) COLLATE \"C\" >= $1 AND lower(symbol) COLLATE \"C\" < $2 \
        OR lower(name) COLLATE \"C\" >= $1 AND lower(name) COLLATE \"C\" < $2)";
    sql_query(format!(
        "SELECT *, CASE WHEN $1 IN (lower(symbol), lower(name), slug) THEN 0 \
             WHEN lower(symbol) COLLATE \"C\" >= $1 AND lower(symbol) COLLATE \"C\" < $2 THEN 1 \
             ELSE 2 END AS distance \
         FROM ( \
             SELECT r.coin_id AS id, c.provider, c.provider_coin_id, c.symbol, c.name, c.slug, c.rank \
             FROM coin_catalogue c LEFT JOIN coin_refs r USING (provider, provider_coin_id) WHERE {MATCHES} \
             UNION ALL \
             SELECT k.id, NULL, NULL, k.symbol, k.name, k.slug, NULL FROM coins k WHERE {MATCHES} \
                 AND NOT EXISTS (SELECT FROM coin_refs r JOIN coin_catalogue c USING (provider, provider_coin_id) \
                     WHERE r.coin_id = k.id) \
         ) AS found \
         ORDER BY distance, id IS NULL, rank, slug <> $1, length(name), name LIMIT $3"
    ))
    .bind::<Text, _>(text)
    // Greater than any text that begins so.
    .bind::<Text, _>(format!("{text}{}", char::MAX))
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// Returns the coin with this id of a provider.
pub fn find_ref(conn: &mut PgConnection, namespace: &str, id: &str) -> QueryResult<Option<Identity>> {
    coin_refs::table
        .find((namespace, id))
        .inner_join(coins::table)
        .select(Identity::as_select())
        .first(conn)
        .optional()
}

/// Returns the coin with this id of a provider, after making one of ours from the catalogue if need be; None if it is not
/// there either. Needs a transaction.
pub fn adopt_coin(
    conn: &mut PgConnection,
    namespace: &str,
    id: &str,
    identities: &Identities,
) -> QueryResult<Option<Identity>> {
    lock_refs(conn)?;
    if let Some(coin) = find_ref(conn, namespace, id)? {
        return Ok(Some(coin));
    }
    let columns = (coin_catalogue::symbol, coin_catalogue::name, coin_catalogue::slug);
    let known = coin_catalogue::table.find((namespace, id)).select(columns).first(conn).optional()?;
    let Some((symbol, name, slug)): Option<(String, String, String)> = known else { return Ok(None) };
    let coin = match alias(conn, namespace, id, identities)? {
        Some(coin) => coin,
        None => create(conn, namespace, [&symbol, &name, &slug])?,
    };
    insert_ref(conn, namespace, id, coin)?;
    find_ref(conn, namespace, id)
}
