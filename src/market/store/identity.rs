//! Maps the coins of a report to ours.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable, Text, Timestamptz},
};

use super::super::{
    identity::{Likeness, aliases},
    model::{Entry, Report},
};
use crate::db::{
    CoinId,
    schema::{coin_refs, coins},
};

/// Returns our ids of the reported coins, by their ids in the provider's namespace. Unknown coins are created. A coin keeps
/// the name given by the provider that reported it first, so that spellings do not alternate.
pub(super) fn coin_ids(
    conn: &mut PgConnection,
    namespace: &str,
    report: &Report,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<String, CoinId>> {
    let reported = report.entries.iter().map(|entry| entry.provider_coin_id.as_str());
    let known: HashMap<String, StoredCoin> = coin_refs::table
        .inner_join(coins::table)
        .filter(coin_refs::provider.eq(namespace).and(coin_refs::provider_coin_id.eq_any(reported)))
        .select((coin_refs::provider_coin_id, StoredCoin::as_select()))
        .load::<(String, StoredCoin)>(conn)?
        .into_iter()
        .collect();
    let mut ids: HashMap<String, CoinId> = HashMap::new();
    for entry in &report.entries {
        let Some(coin) = known.get(&entry.provider_coin_id) else { continue };
        ids.insert(entry.provider_coin_id.clone(), coin.id);
        if coin.named_by == namespace {
            rename(conn, coin, entry)?;
        }
    }
    let unknown: Vec<&Entry> =
        report.entries.iter().filter(|entry| !ids.contains_key(&entry.provider_coin_id)).collect();
    if unknown.is_empty() {
        return Ok(ids);
    }
    let mut matches = by_table(conn, namespace, &unknown)?;
    let rest: Vec<&Entry> =
        unknown.iter().copied().filter(|entry| !matches.contains_key(&entry.provider_coin_id)).collect();
    let found: HashSet<CoinId> = matches.values().copied().collect();
    matches.extend(by_likeness(conn, namespace, report, &rest, &found, now)?);
    for entry in unknown {
        let provider_coin_id = &entry.provider_coin_id;
        let id = match matches.get(provider_coin_id) {
            Some(id) => *id,
            None => create(conn, namespace, entry)?,
        };
        diesel::insert_into(coin_refs::table)
            .values((
                coin_refs::provider.eq(namespace),
                coin_refs::provider_coin_id.eq(provider_coin_id),
                coin_refs::coin_id.eq(id),
            ))
            .execute(conn)?;
        ids.insert(provider_coin_id.clone(), id);
    }
    Ok(ids)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = coins)]
struct StoredCoin {
    id: CoinId,
    symbol: String,
    name: String,
    slug: String,
    /// The namespace of the provider that gave it this name.
    named_by: String,
}

/// Takes over a name that has changed.
fn rename(conn: &mut PgConnection, coin: &StoredCoin, entry: &Entry) -> QueryResult<()> {
    let Entry { symbol, name, slug, .. } = entry;
    if (&coin.symbol, &coin.name, &coin.slug) != (symbol, name, slug) {
        diesel::update(coins::table.find(coin.id))
            .set((coins::symbol.eq(symbol), coins::name.eq(name), coins::slug.eq(slug)))
            .execute(conn)?;
    }
    Ok(())
}

fn create(conn: &mut PgConnection, namespace: &str, entry: &Entry) -> QueryResult<CoinId> {
    let Entry { symbol, name, slug, .. } = entry;
    let values =
        (coins::symbol.eq(symbol), coins::name.eq(name), coins::slug.eq(slug), coins::named_by.eq(namespace));
    diesel::insert_into(coins::table).values(values).returning(coins::id).get_result(conn)
}

/// Finds the well-known coins that another provider has reported before.
fn by_table(
    conn: &mut PgConnection,
    namespace: &str,
    unknown: &[&Entry],
) -> QueryResult<HashMap<String, CoinId>> {
    let mut matches = HashMap::new();
    let refs: HashMap<(String, String), CoinId> = coin_refs::table
        .select((coin_refs::provider, coin_refs::provider_coin_id, coin_refs::coin_id))
        .load::<(String, String, CoinId)>(conn)?
        .into_iter()
        .map(|(provider, name, id)| ((provider, name), id))
        .collect();
    let mut taken = taken(conn, namespace)?;
    for entry in unknown {
        let mut names = aliases(namespace, &entry.provider_coin_id).into_iter().flatten();
        let id = names.find_map(|(provider, name)| refs.get(&(provider.to_owned(), name.to_owned())));
        if let Some(id) = id.copied().filter(|id| taken.insert(*id)) {
            matches.insert(entry.provider_coin_id.clone(), id);
        }
    }
    Ok(matches)
}

/// Returns the coins that already have an id of this provider, so that two of its coins never become one.
fn taken(conn: &mut PgConnection, namespace: &str) -> QueryResult<HashSet<CoinId>> {
    let ids: Vec<CoinId> =
        coin_refs::table.filter(coin_refs::provider.eq(namespace)).select(coin_refs::coin_id).load(conn)?;
    Ok(ids.into_iter().collect())
}

#[derive(QueryableByName)]
struct Candidate {
    #[diesel(sql_type = BigInt)]
    id: CoinId,
    #[diesel(sql_type = Text)]
    symbol: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Double>)]
    price: Option<f64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    priced_at: Option<DateTime<Utc>>,
}

/// Finds the coins with the same symbol and name at about the same price, where both sides have only one. `found` are the
/// coins that other entries of the report stand for.
fn by_likeness(
    conn: &mut PgConnection,
    namespace: &str,
    report: &Report,
    unknown: &[&Entry],
    found: &HashSet<CoinId>,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<String, CoinId>> {
    let likeness = |entry: &Entry| Likeness::new(&entry.symbol, &entry.name, entry.numbers.price);
    let symbols: Vec<String> = unknown.iter().map(|entry| entry.symbol.to_lowercase()).collect();
    if symbols.is_empty() {
        return Ok(HashMap::new());
    }
    // With the last real price of each in the report's currency.
    let candidates: Vec<Candidate> = sql_query(
        "SELECT c.id, c.symbol, c.name, p.price, p.priced_at FROM coins c LEFT JOIN LATERAL ( \
             SELECT q.price * r.rate AS price, s.fetched_at AS priced_at FROM coin_quotes q \
             JOIN coin_snapshots s ON s.id = q.snapshot_id AND s.provider <> 'demo' \
             JOIN snapshot_rates r ON r.snapshot_id = s.id AND r.currency = $2 \
             WHERE q.coin_id = c.id ORDER BY q.snapshot_id DESC LIMIT 1 \
         ) p ON true WHERE lower(c.symbol) = ANY($1)",
    )
    .bind::<Array<Text>, _>(symbols)
    .bind::<Text, _>(&report.currency)
    .load(conn)?;
    let candidates: Vec<(Candidate, Likeness)> = candidates
        .into_iter()
        .map(|one| {
            let likeness = Likeness::new(&one.symbol, &one.name, one.price);
            (one, likeness)
        })
        .collect();
    let taken = taken(conn, namespace)?;
    let all: Vec<Likeness> = report.entries.iter().map(likeness).collect();
    let mut matches = HashMap::new();
    for entry in unknown {
        let wanted = likeness(entry);
        let same: Vec<_> = candidates.iter().filter(|(_, other)| other.has_name_of(&wanted)).collect();
        let namesakes = all.iter().filter(|other| other.has_name_of(&wanted)).count();
        if let ([(candidate, other)], 1) = (same.as_slice(), namesakes)
            && !taken.contains(&candidate.id)
            && !found.contains(&candidate.id)
            && candidate.priced_at.is_some_and(|at| wanted.has_price_of(other, now - at))
        {
            matches.insert(entry.provider_coin_id.clone(), candidate.id);
        }
    }
    Ok(matches)
}
