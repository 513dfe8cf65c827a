//! Defines the search terms of each coin: hashtags, names and ambiguous names.
//!
//! Many names of coins have another meaning (Near, Cosmos, Stellar, Avalanche). Such an ambiguous name counts only next to
//! a word about coins or another name of the coin, other names count by themselves. `queries.json` has the defaults for
//! well-known coins. For the others, name and ticker symbol count as ambiguous.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::LazyLock,
};

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
    /// Count only next to a word of [`CONTEXT`] or another name of the coin.
    #[serde(default)]
    pub ambiguous: Vec<String>,
}

impl Query {
    /// Returns the hashtags to search for, without `#`: first those that mean the coin, then ambiguous ones.
    pub fn tags(&self) -> Vec<&str> {
        let ambiguous = self.ambiguous.iter().filter_map(|name| name.strip_prefix('#'));
        unique(self.hashtags.iter().map(String::as_str).chain(ambiguous))
    }

    /// Whether a search for [`Query::tags`] also finds posts that are not about the coin.
    pub fn has_ambiguous_tags(&self) -> bool {
        self.ambiguous.iter().any(|name| name.starts_with('#'))
    }

    /// Returns the names that mean the coin by themselves, hashtags with `#`.
    pub fn clear_terms(&self) -> Vec<String> {
        unique(self.names.iter().cloned().chain(self.hashtags.iter().map(|tag| format!("#{tag}"))))
    }

    /// Returns all search terms, as clients see them.
    pub fn terms(&self) -> Vec<String> {
        unique(self.clear_terms().into_iter().chain(self.ambiguous.iter().cloned()))
    }
}

fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut kept, one| {
        if !kept.contains(&one) {
            kept.push(one);
        }
        kept
    })
}

/// Queries by upper-case ticker symbol.
pub type Queries = HashMap<String, Query>;

static DEFAULTS: LazyLock<Queries> =
    LazyLock::new(|| serde_json::from_str(include_str!("queries.json")).expect("a test reads it"));

/// Returns the query for each coin: the operator's, else the default, else one made of its name and symbol. Of several
/// coins with the same symbol, the symbol means the first one.
pub fn queries_for<'a>(targets: &'a [Target], own: &Queries) -> Vec<(&'a Target, Query)> {
    let mut symbols = HashSet::new();
    let query = |target: &'a Target| {
        let is_first = symbols.insert(target.symbol.to_uppercase());
        (target, query_for(target, own, is_first))
    };
    targets.iter().map(query).collect()
}

fn query_for(target: &Target, own: &Queries, is_first: bool) -> Query {
    let symbol = target.symbol.to_uppercase();
    let is_for_coin = |query: &&Query| query.slugs.is_empty() || query.slugs.contains(&target.slug);
    let known = own.get(&symbol).filter(is_for_coin).or_else(|| DEFAULTS.get(&symbol).filter(is_for_coin));
    let has_symbol = is_first && !own.contains_key(&symbol) && !DEFAULTS.contains_key(&symbol);
    known.cloned().unwrap_or_else(|| unknown(target, has_symbol))
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

/// Makes a query of the name and, if it means no other coin, the symbol. A name of several words means the coin; other
/// names and all symbols are ambiguous, since they are often words or tickers of shares as well.
fn unknown(target: &Target, has_symbol: bool) -> Query {
    let name = target.name.to_lowercase();
    let joined = tag(&name);
    let is_specific = name.contains(' ') || ["coin", "chain", "swap"].iter().any(|end| joined.ends_with(end));
    let mut query = Query::default();
    if is_usable(&joined) {
        if is_specific {
            query.hashtags.push(joined);
        } else {
            query.ambiguous.push(format!("#{joined}"));
        }
        query.ambiguous.push(name);
    }
    let symbol = tag(&target.symbol.to_lowercase());
    if has_symbol && is_usable(&symbol) {
        query.ambiguous.extend([format!("#{symbol}"), format!("${symbol}")]);
    }
    query.ambiguous = unique(query.ambiguous.into_iter());
    query
}

/// Joins the letters and digits, as hashtags do.
fn tag(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// A hashtag needs a letter. A word of [`CONTEXT`] would be its own context.
fn is_usable(tag: &str) -> bool {
    tag.chars().count() > 1 && tag.chars().any(char::is_alphabetic) && !CONTEXT.contains(&tag)
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
            let query = query_for(&target(symbol, name, slug), &Queries::new(), true);
            let bare = name.to_lowercase();
            assert!(!query.names.contains(&bare) || bare.contains(' '), "{name}: {query:?}");
            assert!(!query.hashtags.contains(&bare), "{name}: {query:?}");
        }
    }

    #[test]
    fn another_coin_with_the_same_symbol_has_its_own_query() {
        let query = query_for(&target("BTC", "Bitconnect Two", "bitconnect-two"), &Queries::new(), true);
        assert_eq!(query.hashtags, ["bitconnecttwo"]);
        assert_eq!(query.ambiguous, ["bitconnect two"]);
    }

    #[test]
    fn an_operators_query_comes_first() {
        let own = Query { hashtags: vec!["btc".into()], ..Query::default() };
        let bitcoin = target("BTC", "Bitcoin", "bitcoin");
        assert_eq!(query_for(&bitcoin, &Queries::from([("BTC".into(), own.clone())]), true), own);
    }

    #[test]
    fn an_unknown_coin_is_searched_by_name_and_symbol() {
        let of = |symbol, name| query_for(&target(symbol, name, "x"), &Queries::new(), true);
        let widget = of("WDG", "Widget");
        assert_eq!(widget.tags(), ["widget", "wdg"]);
        assert_eq!(widget.terms(), ["#widget", "widget", "#wdg", "$wdg"]);
        assert!(widget.has_ambiguous_tags() && widget.clear_terms().is_empty());
        let clear = of("BSF", "Blue Sky Fund");
        assert_eq!(
            (clear.tags(), clear.clear_terms()),
            (vec!["blueskyfund", "bsf"], vec!["#blueskyfund".to_owned()])
        );
        assert_eq!(of("ABC", "Abc").terms(), ["#abc", "abc", "$abc"]);
        for (symbol, name) in
            [("1", "42"), ("C", "Coin"), ("TOKEN", "Token"), ("", ""), ("\u{1F680}", "\u{1F680}")]
        {
            assert_eq!(of(symbol, name), Query::default(), "{name}");
        }
    }

    #[test]
    fn a_symbol_means_the_first_coin_that_has_it() {
        let targets = [target("WDG", "Widget", "widget"), target("WDG", "Wedge", "wedge")];
        let queries = queries_for(&targets, &Queries::new());
        assert_eq!(queries[0].1.tags(), ["widget", "wdg"]);
        assert_eq!(queries[1].1.tags(), ["wedge"]);
    }

    #[test]
    fn a_tag_is_searched_once() {
        let bitcoin = query_for(&target("BTC", "Bitcoin", "bitcoin"), &Queries::new(), true);
        assert_eq!(bitcoin.terms(), ["bitcoin", "$btc", "#btc", "#bitcoin"]);
    }
}
