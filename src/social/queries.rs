//! Defines the search terms of each coin: hashtags, names and ambiguous names.
//!
//! Many names of coins have another meaning (Near, Cosmos, Stellar, Avalanche). Such an ambiguous name counts only next to
//! a word about coins, other names count by themselves. `queries.json` has the defaults for well-known coins. For the
//! others the name counts as ambiguous, and the ticker symbol is not searched (ADA, LINK, OP).

use std::{collections::HashMap, fs, path::Path, sync::LazyLock};

use anyhow::Context;
use serde::Deserialize;

use crate::db::CoinId;

/// Words next to which an ambiguous name means a coin.
pub const CONTEXT: [&str; 6] = ["crypto", "coin", "token", "blockchain", "defi", "altcoin"];

/// A coin of the newest snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: CoinId,
    pub symbol: String,
    pub name: String,
    pub slug: String,
}

/// The search terms of a coin, in lower case. A name may have several words or be a cashtag (`$btc`) or hashtag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The coins that the entry is for, since symbols are not unique; empty for every coin with the symbol.
    #[serde(default)]
    pub slugs: Vec<String>,
    /// Without `#`.
    #[serde(default)]
    pub hashtags: Vec<String>,
    #[serde(default)]
    pub names: Vec<String>,
    #[serde(default)]
    pub ambiguous: Vec<String>,
}

/// Queries by upper-case ticker symbol.
pub type Queries = HashMap<String, Query>;

static DEFAULTS: LazyLock<Queries> =
    LazyLock::new(|| serde_json::from_str(include_str!("queries.json")).expect("a test reads it"));

/// Returns the query for a coin: the operator's, else the default, else one made of its name.
pub fn query_for(target: &Target, own: &Queries) -> Query {
    let symbol = target.symbol.to_uppercase();
    let is_for_coin = |query: &&Query| query.slugs.is_empty() || query.slugs.contains(&target.slug);
    let known = own.get(&symbol).filter(is_for_coin).or_else(|| DEFAULTS.get(&symbol).filter(is_for_coin));
    known.cloned().unwrap_or_else(|| unknown(target))
}

/// Returns the ticker symbol of a well-known coin that a hashtag names: its symbol or one of its hashtags, in lower case.
pub fn symbol_of_hashtag(tag: &str) -> Option<&'static str> {
    static SYMBOLS: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
        let tags = |(symbol, query): (&'static String, &'static Query)| {
            let own = std::iter::once(symbol.to_lowercase()).chain(query.hashtags.iter().cloned());
            own.map(move |tag| (tag, symbol.as_str())).collect::<Vec<_>>()
        };
        DEFAULTS.iter().flat_map(tags).collect()
    });
    SYMBOLS.get(tag).copied()
}

/// Reads an operator's own queries: a JSON object like `queries.json`, by ticker symbol.
///
/// # Errors
/// The file cannot be read, or is not such an object.
pub fn read_queries(path: &Path) -> anyhow::Result<Queries> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let queries: Queries = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a list of queries", path.display()))?;
    let lower = |words: Vec<String>| words.iter().map(|word| word.to_lowercase()).collect();
    let normalised = queries.into_iter().map(|(symbol, query)| {
        let Query { slugs, hashtags, names, ambiguous } = query;
        let query =
            Query { slugs, hashtags: lower(hashtags), names: lower(names), ambiguous: lower(ambiguous) };
        (symbol.to_uppercase(), query)
    });
    Ok(normalised.collect())
}

fn unknown(target: &Target) -> Query {
    let name = target.name.to_lowercase();
    let joined: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    let is_specific = name.contains(' ') || ["coin", "chain", "swap"].iter().any(|end| joined.ends_with(end));
    let hashtag = if is_specific { joined } else { format!("{joined}crypto") };
    Query { slugs: Vec::new(), hashtags: vec![hashtag], names: Vec::new(), ambiguous: vec![name] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(symbol: &str, name: &str, slug: &str) -> Target {
        Target { id: CoinId(1), symbol: symbol.into(), name: name.into(), slug: slug.into() }
    }

    #[test]
    fn the_defaults_are_lower_case_and_each_finds_something() {
        assert!(DEFAULTS.len() > 30);
        for (symbol, query) in &*DEFAULTS {
            assert_eq!(*symbol, symbol.to_uppercase());
            assert!(
                !query.hashtags.is_empty() && !query.names.is_empty() && !query.slugs.is_empty(),
                "{symbol}"
            );
            for word in query.hashtags.iter().chain(&query.names).chain(&query.ambiguous) {
                assert_eq!(*word, word.to_lowercase());
            }
        }
    }

    #[test]
    fn a_common_word_alone_is_never_enough() {
        for (symbol, name, slug) in [
            ("NEAR", "NEAR Protocol", "near-protocol"),
            ("ATOM", "Cosmos", "cosmos"),
            ("XLM", "Stellar", "stellar"),
            ("AVAX", "Avalanche", "avalanche"),
            ("SUI", "Sui", "sui"),
            ("MKR", "Maker", "maker"),
            ("POL", "Polygon", "polygon"),
            ("FLOW", "Flow", "flow"),
        ] {
            let query = query_for(&target(symbol, name, slug), &Queries::new());
            let bare = name.to_lowercase();
            assert!(!query.names.contains(&bare) || bare.contains(' '), "{name}: {query:?}");
            assert!(!query.hashtags.contains(&bare), "{name}: {query:?}");
        }
    }

    #[test]
    fn another_coin_with_the_same_symbol_has_its_own_query() {
        let query = query_for(&target("BTC", "Bitconnect Two", "bitconnect-two"), &Queries::new());
        assert_eq!(query.hashtags, ["bitconnecttwo"]);
        assert_eq!(query.ambiguous, ["bitconnect two"]);
    }

    #[test]
    fn an_operators_query_comes_first() {
        let own = Query { hashtags: vec!["btc".into()], ..Query::default() };
        let bitcoin = target("BTC", "Bitcoin", "bitcoin");
        assert_eq!(query_for(&bitcoin, &Queries::from([("BTC".into(), own.clone())])), own);
    }
}
