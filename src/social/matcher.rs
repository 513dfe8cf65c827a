//! Finds the coins that a text is about, for streams, which cannot be searched.

use std::collections::HashMap;

use super::queries::{CONTEXT, Query};
use crate::db::CoinId;

/// The names of all coins, by their first word.
#[derive(Debug, Default)]
pub struct Matcher {
    phrases: HashMap<String, Vec<Phrase>>,
}

#[derive(Debug)]
struct Phrase {
    coin: CoinId,
    rest: Vec<String>,
    /// The letters and digits of an ambiguous name, which needs a word about coins or another name of the coin.
    ambiguous: Option<String>,
}

impl Matcher {
    pub fn new<'a>(queries: impl IntoIterator<Item = (CoinId, &'a Query)>) -> Self {
        let mut matcher = Self::default();
        for (coin, query) in queries {
            let clear = query.clear_terms().into_iter().map(|name| (name, None));
            let letters = |name: &String| name.chars().filter(|c| c.is_alphanumeric()).collect();
            let ambiguous = query.ambiguous.iter().map(|name| (name.clone(), Some(letters(name))));
            for (name, ambiguous) in clear.chain(ambiguous) {
                let mut words = words(&name).into_iter();
                if let Some(first) = words.next() {
                    let phrase = Phrase { coin, rest: words.collect(), ambiguous };
                    matcher.phrases.entry(first).or_default().push(phrase);
                }
            }
        }
        matcher
    }

    /// Returns the coins that a text names, each once.
    pub fn coins(&self, text: &str) -> Vec<CoinId> {
        let words = words(text);
        let in_context = || words.iter().any(|word| CONTEXT.contains(&word.trim_start_matches('#')));
        let mut found = Vec::new();
        // The first ambiguous name of a coin; a second one makes it clear.
        let mut hints: HashMap<CoinId, &str> = HashMap::new();
        for (at, word) in words.iter().enumerate() {
            // A hashtag is also the word itself; a cashtag is not.
            let bare = word.strip_prefix('#');
            for phrase in
                [Some(word.as_str()), bare].into_iter().flatten().filter_map(|word| self.phrases.get(word))
            {
                for Phrase { coin, rest, ambiguous } in phrase {
                    if !words[at + 1..].starts_with(rest) || found.contains(coin) {
                        continue;
                    }
                    let is_clear = ambiguous.as_ref().is_none_or(|name| {
                        *hints.entry(*coin).or_insert(name.as_str()) != name.as_str() || in_context()
                    });
                    if is_clear {
                        found.push(*coin);
                    }
                }
            }
        }
        found
    }
}

/// Splits a text into words of letters and digits in lower case, with the `#` or `$` before them. Addresses are left out,
/// since their words are not those of the author.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in text.split_whitespace().filter(|part| !part.contains("://")) {
        let mut word = String::new();
        for c in part.chars() {
            if c.is_alphanumeric() || c == '_' {
                word.extend(c.to_lowercase());
                continue;
            }
            if word.len() > 1 || word.chars().all(char::is_alphanumeric) && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.clear();
            if matches!(c, '#' | '$') {
                word.push(c);
            }
        }
        if !word.trim_start_matches(['#', '$']).is_empty() {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{
        super::queries::{Queries, Target, queries_for},
        *,
    };

    fn matcher() -> Matcher {
        let coins = [
            (1, "BTC", "Bitcoin", "bitcoin"),
            (2, "NEAR", "NEAR Protocol", "near-protocol"),
            (3, "AVAX", "Avalanche", "avalanche"),
            (4, "BCH", "Bitcoin Cash", "bitcoin-cash"),
            (5, "WDG", "Widget", "widget"),
        ];
        let target = |(id, symbol, name, slug): (i64, &str, &str, &str)| Target {
            id: CoinId(id),
            symbol: symbol.into(),
            name: name.into(),
            slug: slug.into(),
        };
        let targets = coins.map(target);
        let queries = queries_for(&targets, &Queries::new());
        Matcher::new(queries.iter().map(|(target, query)| (target.id, query)))
    }

    #[test]
    fn coins_are_found_by_names_hashtags_and_cashtags() {
        let matcher = matcher();
        for (text, coins) in [
            ("buying the dip #Bitcoin", vec![1]),
            ("BITCOIN!!! and $AVAX", vec![1, 3]),
            ("the shop is near the station", vec![]),
            ("NEAR Protocol ships", vec![2]),
            ("$near", vec![2]),
            ("an avalanche in the Alps", vec![]),
            ("is avalanche a good token?", vec![3]),
            ("avalanche #crypto", vec![3]),
            ("bitcoin cash is not bitcoin", vec![1, 4]),
            ("bitcoins", vec![]),
            ("https://example.com/bitcoin", vec![]),
            ("(bitcoin)/(avax)", vec![1, 3]),
            ("a #widget for the desktop", vec![]),
            ("#wdg #wdg $WDG", vec![]),
            ("$WDG #widget", vec![5]),
            ("the #widget token", vec![5]),
            ("#", vec![]),
            ("$ $ $", vec![]),
            ("", vec![]),
        ] {
            let found: Vec<i64> = matcher.coins(text).into_iter().map(|coin| coin.0).collect();
            assert_eq!(found, coins, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_accepted(text in "(?s).{0,200}") {
            matcher().coins(&text);
        }
    }
}
