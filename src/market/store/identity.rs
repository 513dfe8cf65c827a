//! Maps the coins of a report to ours.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable, Text, Timestamptz},
};

use super::super::{
    identity::{Identities, Likeness},
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
    identities: &Identities,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<String, CoinId>> {
    lock_refs(conn)?;
    unite(conn, identities)?;
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
    let mut matches = by_table(conn, namespace, &unknown, identities)?;
    let rest: Vec<&Entry> =
        unknown.iter().copied().filter(|entry| !matches.contains_key(&entry.provider_coin_id)).collect();
    let found: HashSet<CoinId> = matches.values().copied().collect();
    matches.extend(by_likeness(conn, namespace, report, &rest, &found, now)?);
    for entry in unknown {
        let provider_coin_id = &entry.provider_coin_id;
        let id = match matches.get(provider_coin_id) {
            Some(id) => *id,
            None => create(conn, namespace, [&entry.symbol, &entry.name, &entry.slug])?,
        };
        insert_ref(conn, namespace, provider_coin_id, id)?;
        ids.insert(provider_coin_id.clone(), id);
    }
    Ok(ids)
}

/// Stores the reported logos and tags that have changed. Those that a provider does not report are kept, so that they do not
/// vanish while another provider stands in.
pub(super) fn describe(
    conn: &mut PgConnection,
    ids: &HashMap<String, CoinId>,
    report: &Report,
) -> QueryResult<()> {
    let entries = || report.entries.iter();
    // Tags have no spaces.
    let tags = |entry: &Entry| entry.profile.tags.as_ref().map(|tags| tags.join(" "));
    sql_query(
        "UPDATE coins c SET image = n.image, tags = n.tags FROM ( \
             SELECT k.id, coalesce(r.image, k.image) AS image, \
                 coalesce(string_to_array(r.tags, ' '), k.tags) AS tags \
             FROM unnest($1, $2, $3) AS r (id, image, tags) JOIN coins k ON k.id = r.id \
         ) n WHERE c.id = n.id AND (c.image, c.tags) IS DISTINCT FROM (n.image, n.tags)",
    )
    .bind::<Array<BigInt>, _>(entries().map(|entry| ids[&entry.provider_coin_id]).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(entries().map(|one| one.profile.image.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(entries().map(tags).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
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

/// Lets one transaction at a time give ids of providers to coins, so that no coin is made twice.
pub(super) fn lock_refs(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("SELECT pg_advisory_xact_lock(hashtext('mintage coin refs'))").execute(conn)?;
    Ok(())
}

pub(super) fn insert_ref(
    conn: &mut PgConnection,
    namespace: &str,
    provider_coin_id: &str,
    id: CoinId,
) -> QueryResult<()> {
    let values = (
        coin_refs::provider.eq(namespace),
        coin_refs::provider_coin_id.eq(provider_coin_id),
        coin_refs::coin_id.eq(id),
    );
    diesel::insert_into(coin_refs::table).values(values).execute(conn)?;
    Ok(())
}

pub(super) fn create(
    conn: &mut PgConnection,
    namespace: &str,
    [symbol, name, slug]: [&str; 3],
) -> QueryResult<CoinId> {
    let values =
        (coins::symbol.eq(symbol), coins::name.eq(name), coins::slug.eq(slug), coins::named_by.eq(namespace));
    diesel::insert_into(coins::table).values(values).returning(coins::id).get_result(conn)
}

/// Returns the coin that has this id in the tables of well-known coins, unless it has another id of this provider.
pub(super) fn alias(
    conn: &mut PgConnection,
    namespace: &str,
    id: &str,
    identities: &Identities,
) -> QueryResult<Option<CoinId>> {
    for (provider, name) in identities.aliases(namespace, id) {
        let coin = coin_refs::table.find((provider, name)).select(coin_refs::coin_id).first(conn);
        if let Some(coin) = coin.optional()? {
            return Ok((!taken(conn, namespace)?.contains(&coin)).then_some(coin));
        }
    }
    Ok(None)
}

/// Finds the well-known coins that another provider has reported before.
fn by_table(
    conn: &mut PgConnection,
    namespace: &str,
    unknown: &[&Entry],
    identities: &Identities,
) -> QueryResult<HashMap<String, CoinId>> {
    let mut matches = HashMap::new();
    let refs = refs(conn)?;
    let mut taken = taken(conn, namespace)?;
    for entry in unknown {
        let mut names = identities.aliases(namespace, &entry.provider_coin_id).into_iter();
        let id = names.find_map(|(provider, name)| refs.get(&(provider.to_owned(), name.to_owned())));
        if let Some(id) = id.copied().filter(|id| taken.insert(*id)) {
            matches.insert(entry.provider_coin_id.clone(), id);
        }
    }
    Ok(matches)
}

/// Returns our ids by provider and its id.
fn refs(conn: &mut PgConnection) -> QueryResult<HashMap<(String, String), CoinId>> {
    let rows: Vec<(String, String, CoinId)> = coin_refs::table
        .select((coin_refs::provider, coin_refs::provider_coin_id, coin_refs::coin_id))
        .load(conn)?;
    Ok(rows.into_iter().map(|(provider, name, id)| ((provider, name), id)).collect())
}

/// Gives the ids of each coin of the operator's table to one of our coins, the first, if they were reported as several
/// before. The others keep their history and are no longer reported.
fn unite(conn: &mut PgConnection, identities: &Identities) -> QueryResult<()> {
    let mut listed = identities.coins().peekable();
    if listed.peek().is_none() {
        return Ok(());
    }
    let refs = refs(conn)?;
    for coin in listed {
        let known: Vec<_> = coin
            .iter()
            .filter_map(|(provider, id)| Some((provider, *refs.get(&(provider.clone(), id.clone()))?)))
            .collect();
        let Some(first) = known.iter().map(|(_, id)| *id).min() else { continue };
        for (provider, other) in known.iter().filter(|(_, id)| *id != first) {
            // A provider whose id the first coin has already would be there twice.
            let is_taken = refs.iter().any(|((name, _), id)| name == *provider && *id == first);
            if !is_taken {
                diesel::update(coin_refs::table)
                    .filter(coin_refs::provider.eq(*provider).and(coin_refs::coin_id.eq(*other)))
                    .set(coin_refs::coin_id.eq(first))
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Returns the ids of coins by the namespaces of the providers: those that were reported, and those that the tables of
/// well-known coins add.
pub(super) fn provider_ids(
    conn: &mut PgConnection,
    coins: &[CoinId],
    identities: &Identities,
) -> QueryResult<HashMap<CoinId, BTreeMap<String, String>>> {
    let rows: Vec<(CoinId, String, String)> = coin_refs::table
        .filter(coin_refs::coin_id.eq_any(coins))
        .order((coin_refs::provider, coin_refs::provider_coin_id))
        .select((coin_refs::coin_id, coin_refs::provider, coin_refs::provider_coin_id))
        .load(conn)?;
    let mut refs: HashMap<CoinId, BTreeMap<String, String>> = HashMap::new();
    for (coin, provider, id) in &rows {
        refs.entry(*coin).or_default().insert(provider.clone(), id.clone());
    }
    for (coin, provider, id) in &rows {
        for (other, other_id) in identities.aliases(provider, id) {
            let known = refs.entry(*coin).or_default();
            known.entry(other.to_owned()).or_insert_with(|| other_id.to_owned());
        }
    }
    Ok(refs)
}

/// Returns the ids of coins in one namespace, in the same order, without coins that are unknown there.
pub fn ids_at(
    conn: &mut PgConnection,
    namespace: &str,
    coins: &[CoinId],
    identities: &Identities,
) -> QueryResult<Vec<String>> {
    let refs = provider_ids(conn, coins, identities)?;
    Ok(coins.iter().filter_map(|coin| refs.get(coin)?.get(namespace).cloned()).collect())
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
    #[diesel(sql_type = Nullable<Double>)]
    market_cap: Option<f64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    priced_at: Option<DateTime<Utc>>,
}

/// Finds the coins with the same symbol and name at about the same price, or else with a name that begins with the other at
/// nearly the same price and market capitalisation, where both sides have only one. `found` are the coins that other
/// entries of the report stand for.
fn by_likeness(
    conn: &mut PgConnection,
    namespace: &str,
    report: &Report,
    unknown: &[&Entry],
    found: &HashSet<CoinId>,
    now: DateTime<Utc>,
) -> QueryResult<HashMap<String, CoinId>> {
    let likeness = |entry: &Entry| {
        Likeness::new(&entry.symbol, &entry.name, entry.numbers.price, entry.numbers.market_cap)
    };
    let symbols: Vec<String> = unknown.iter().map(|entry| entry.symbol.to_lowercase()).collect();
    if symbols.is_empty() {
        return Ok(HashMap::new());
    }
    // With the last real price of each in the report's currency.
    let candidates: Vec<Candidate> = sql_query(
        "SELECT c.id, c.symbol, c.name, p.price, p.market_cap, p.priced_at FROM coins c LEFT JOIN LATERAL ( \
             SELECT q.price * r.rate AS price, q.market_cap * r.rate AS market_cap, s.as_of AS priced_at \
             FROM coin_quotes q \
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
            let likeness = Likeness::new(&one.symbol, &one.name, one.price, one.market_cap);
            (one, likeness)
        })
        .collect();
    let taken = taken(conn, namespace)?;
    let all: Vec<Likeness> = report.entries.iter().map(likeness).collect();
    let mut matches = HashMap::new();
    for entry in unknown {
        let wanted = likeness(entry);
        let is_same = |one: &Likeness, other: &Likeness, age: TimeDelta, by_name: bool| {
            if by_name {
                one.has_name_of(other) && one.has_price_of(other, age)
            } else {
                one.is_nearly(other, age)
            }
        };
        let named = candidates.iter().filter(|(_, other)| other.has_name_of(&wanted)).count();
        let namesakes = all.iter().filter(|other| other.has_name_of(&wanted)).count();
        let by_name = named > 0;
        let similar: Vec<_> = candidates
            .iter()
            .filter_map(|(one, other)| Some((one, other, now - one.priced_at?)))
            .filter(|(_, other, age)| is_same(&wanted, other, *age, by_name))
            .collect();
        let is_clear = named <= 1 && namesakes <= 1;
        if let ([(candidate, other, age)], true) = (similar.as_slice(), is_clear)
            && all.iter().filter(|one| is_same(one, other, *age, by_name)).count() == 1
            && !taken.contains(&candidate.id)
            && !found.contains(&candidate.id)
        {
            matches.insert(entry.provider_coin_id.clone(), candidate.id);
        }
    }
    Ok(matches)
}
