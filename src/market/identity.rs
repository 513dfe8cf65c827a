//! Decides which coins of different providers are the same coin.
//!
//! They are the same if the operator's table (`COINS_IDENTITIES`) or the table of well-known coins lists both ids. They are
//! also the same if symbol and name are equal and the prices agree, or if one name begins with the other and price and
//! market capitalisation are nearly equal; in both cases only if no other coin of either provider is as similar. Otherwise
//! a new coin is created: two rows for one coin can be corrected, one row for two coins shows wrong prices. A ticker symbol
//! alone is never enough.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::Read,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;

use crate::config::Coins;

/// Of the operator's table, in bytes.
const MAX_TABLE_SIZE: u64 = 1024 * 1024;
/// Factors by which prices and market capitalisations of one coin may differ between providers.
const SAME_PRICE: f64 = 1.01;
const SAME_MARKET_CAP: f64 = 1.02;

/// Ids at CoinMarketCap, CoinGecko and CoinPaprika, only where they are certain.
const KNOWN: [(&str, &str, &str); 48] = [
    ("1", "bitcoin", "btc-bitcoin"),
    ("2", "litecoin", "ltc-litecoin"),
    ("52", "ripple", "xrp-xrp"),
    ("74", "dogecoin", "doge-dogecoin"),
    ("131", "dash", "dash-dash"),
    ("328", "monero", "xmr-monero"),
    ("512", "stellar", "xlm-stellar"),
    ("825", "tether", "usdt-tether"),
    ("1027", "ethereum", "eth-ethereum"),
    ("1321", "ethereum-classic", "etc-ethereum-classic"),
    ("1437", "zcash", "zec-zcash"),
    ("1518", "maker", "mkr-maker"),
    ("1720", "iota", "miota-iota"),
    ("1831", "bitcoin-cash", "bch-bitcoin-cash"),
    ("1839", "binancecoin", "bnb-binance-coin"),
    ("1958", "tron", "trx-tron"),
    ("1975", "chainlink", "link-chainlink"),
    ("2010", "cardano", "ada-cardano"),
    ("2011", "tezos", "xtz-tezos"),
    ("2280", "filecoin", "fil-filecoin"),
    ("3077", "vechain", "vet-vechain"),
    ("3408", "usd-coin", "usdc-usd-coin"),
    ("3635", "crypto-com-chain", "cro-cryptocom-chain"),
    ("3717", "wrapped-bitcoin", "wbtc-wrapped-bitcoin"),
    ("3794", "cosmos", "atom-cosmos"),
    ("3897", "okb", "okb-okb"),
    ("3957", "leo-token", "leo-leo-token"),
    ("4030", "algorand", "algo-algorand"),
    ("4642", "hedera-hashgraph", "hbar-hedera"),
    ("4943", "dai", "dai-dai"),
    ("5426", "solana", "sol-solana"),
    ("5805", "avalanche-2", "avax-avalanche"),
    ("5994", "shiba-inu", "shib-shiba-inu"),
    ("6535", "near", "near-near-protocol"),
    ("6636", "polkadot", "dot-polkadot"),
    ("6719", "the-graph", "grt-the-graph"),
    ("7083", "uniswap", "uni-uniswap"),
    ("7278", "aave", "aave-new"),
    ("8916", "internet-computer", "icp-internet-computer"),
    ("11419", "the-open-network", "ton-toncoin"),
    ("11840", "optimism", "op-optimism"),
    ("11841", "arbitrum", "arb-arbitrum"),
    ("20396", "kaspa", "kas-kaspa"),
    ("20947", "sui", "sui-sui"),
    ("21794", "aptos", "apt-aptos"),
    ("22974", "bittensor", "tao-bittensor"),
    ("24478", "pepe", "pepe-pepe"),
    ("32196", "hyperliquid", "hype-hyperliquid"),
];

/// Returns the ids of a well-known coin at all providers, from its id at one.
fn aliases(provider: &str, id: &str) -> Option<[(&'static str, &'static str); 3]> {
    let named = |(coinmarketcap, coingecko, coinpaprika): &(&'static str, &'static str, &'static str)| {
        [("coinmarketcap", *coinmarketcap), ("coingecko", *coingecko), ("coinpaprika", *coinpaprika)]
    };
    KNOWN.iter().map(named).find(|names| names.contains(&(provider, id)))
}

/// Ids that an operator has declared to be of one coin each: maps from the provider to its id.
#[derive(Debug, Default)]
pub struct Identities(Vec<BTreeMap<String, String>>);

impl Identities {
    /// Reads the table of the settings, if there is one.
    ///
    /// # Errors
    /// As [`Identities::read`].
    pub fn configured(settings: &Coins, known: &[&str]) -> Result<Self> {
        match &settings.identities {
            Some(path) => Self::read(path, known).context("COINS_IDENTITIES"),
            None => Ok(Self::default()),
        }
    }

    /// Reads a JSON array of objects such as `{"coinmarketcap": "35697", "coingecko": "pi-network"}`.
    ///
    /// # Errors
    /// The file cannot be read, is too large or no such array, names a provider that is not in `known`, or lists an id twice
    /// or alone.
    fn read(path: &Path, known: &[&str]) -> Result<Self> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_TABLE_SIZE + 1).read_to_string(&mut text))
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, known).with_context(|| format!("{} is not a table of coins", path.display()))
    }

    fn parse(text: &str, known: &[&str]) -> Result<Self> {
        ensure!(u64::try_from(text.len())? <= MAX_TABLE_SIZE, "it is larger than {MAX_TABLE_SIZE} bytes");
        let coins: Vec<BTreeMap<String, String>> = serde_json::from_str(text)?;
        let mut seen = HashSet::new();
        for (number, coin) in (1..).zip(&coins) {
            ensure!(coin.len() >= 2, "coin {number} needs the ids of at least two providers");
            for (provider, id) in coin {
                let names = known.join(", ");
                ensure!(known.contains(&provider.as_str()), "{provider:?} is none of {names}");
                ensure!(!id.trim().is_empty(), "the id of {provider} of coin {number} is empty");
                ensure!(seen.insert((provider, id)), "{provider} {id:?} is listed twice");
            }
        }
        Ok(Self(coins))
    }

    /// Returns the coins, each with its ids by provider.
    pub fn coins(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        self.0.iter()
    }

    /// Returns the ids of a coin at all providers, from its id at one: those of the operator, else of the built-in table.
    pub fn aliases(&self, provider: &str, id: &str) -> Vec<(&str, &str)> {
        let own = self.0.iter().find(|coin| coin.get(provider).is_some_and(|known| known == id));
        match own {
            Some(coin) => coin.iter().map(|(provider, id)| (provider.as_str(), id.as_str())).collect(),
            None => aliases(provider, id).into_iter().flatten().collect(),
        }
    }
}

/// The properties by which coins are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    symbol: String,
    /// The words of the name.
    words: Vec<String>,
    price: Option<f64>,
    market_cap: Option<f64>,
}

impl Likeness {
    pub fn new(symbol: &str, name: &str, price: Option<f64>, market_cap: Option<f64>) -> Self {
        let words = |text: &str| -> Vec<String> {
            let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
            parts.map(str::to_lowercase).collect()
        };
        Self { symbol: words(symbol).concat(), words: words(name), price, market_cap }
    }

    /// Whether one name begins with the words of the other, such as "Pi" and "Pi Network", symbols are equal, and price and
    /// market capitalisation are nearly so, when the older ones have this age.
    pub fn is_nearly(&self, other: &Self, age: TimeDelta) -> bool {
        let begins = |one: &Self, other: &Self| !one.words.is_empty() && other.words.starts_with(&one.words);
        self.symbol == other.symbol
            && (begins(self, other) || begins(other, self))
            && age <= TimeDelta::hours(1)
            && is_within(self.price, other.price, SAME_PRICE)
            && is_within(self.market_cap, other.market_cap, SAME_MARKET_CAP)
    }

    /// Whether symbol and name are equal.
    pub fn has_name_of(&self, other: &Self) -> bool {
        self.symbol == other.symbol && self.words.concat() == other.words.concat()
    }

    /// Whether both prices may be of one coin, when the older one has this age. The prices of coins that only share a name
    /// differ by orders of magnitude.
    pub fn has_price_of(&self, other: &Self, age: TimeDelta) -> bool {
        let factor = match age {
            age if age <= TimeDelta::hours(1) => 1.05,
            age if age <= TimeDelta::days(7) => 2.0,
            _ => return false,
        };
        is_within(self.price, other.price, factor)
    }
}

/// Whether both are known and differ by this factor at most.
fn is_within(one: Option<f64>, two: Option<f64>, factor: f64) -> bool {
    one.zip(two).is_some_and(|(one, two)| one <= two * factor && two <= one * factor)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_id_stands_for_two_coins() {
        let ids: HashSet<_> =
            KNOWN.iter().flat_map(|(a, b, c)| [("cmc", *a), ("cg", *b), ("cp", *c)]).collect();
        assert_eq!(ids.len(), KNOWN.len() * 3);
    }

    #[test]
    fn an_id_is_only_known_as_its_own_providers() {
        let bnb = aliases("coingecko", "binancecoin").expect("known");
        assert_eq!(bnb[0], ("coinmarketcap", "1839"));
        assert_eq!(aliases("coinpaprika", "binancecoin"), None);
        assert_eq!(aliases("coinmarketcap", "7"), None);
    }

    #[test]
    fn a_name_is_compared_without_case_and_signs_and_a_price_by_its_age() {
        let one = Likeness::new("USDe", "Ethena USDe", Some(1.0), None);
        assert!(one.has_name_of(&Likeness::new("usde", "ethena-usde", None, None)));
        assert!(!one.has_name_of(&Likeness::new("usde", "Ethena", None, None)));
        assert!(!one.has_name_of(&Likeness::new("usd", "Ethena USDe", None, None)));
        let costs = |price, hours| {
            one.has_price_of(&Likeness::new("USDe", "Ethena USDe", price, None), TimeDelta::hours(hours))
        };
        assert!(costs(Some(1.04), 1) && costs(Some(0.96), 1));
        assert!(!costs(Some(1.06), 1) && costs(Some(1.06), 2));
        assert!(!costs(Some(2.1), 2) && !costs(Some(1.0), 24 * 8) && !costs(None, 1));
    }

    #[test]
    fn a_name_that_begins_with_another_needs_the_same_price_and_market_cap() {
        let pi = |name, price, cap| Likeness::new("PI", name, Some(price), cap);
        let one = pi("Pi", 0.2, Some(1e9));
        let is = |other: &Likeness, minutes| one.is_nearly(other, TimeDelta::minutes(minutes));
        assert!(is(&pi("Pi Network", 0.2019, Some(1.019e9)), 60) && is(&pi("PI", 0.2, Some(1e9)), 0));
        for (case, other, minutes) in [
            ("another price", pi("Pi Network", 0.203, Some(1e9)), 1),
            ("another market cap", pi("Pi Network", 0.2, Some(1.03e9)), 1),
            ("an unknown market cap", pi("Pi Network", 0.2, None), 1),
            ("the start of a word", pi("Pioneer", 0.2, Some(1e9)), 1),
            ("another name", pi("My Pi", 0.2, Some(1e9)), 1),
            ("no name", pi("***", 0.2, Some(1e9)), 1),
            ("too old", pi("Pi Network", 0.2, Some(1e9)), 61),
            ("another symbol", Likeness::new("PIN", "Pi Network", Some(0.2), Some(1e9)), 1),
        ] {
            assert!(!is(&other, minutes), "{case}");
        }
    }

    #[test]
    fn the_operators_table_comes_before_the_built_in_one_and_is_checked() {
        let known = ["coinmarketcap", "coingecko", "coinpaprika"];
        let parse = |text: &str| Identities::parse(text, &known);
        let table = parse(r#"[{"coinmarketcap": "35697", "coingecko": "pi-network"}]"#).expect("a table");
        let pi = vec![("coingecko", "pi-network"), ("coinmarketcap", "35697")];
        assert_eq!(table.aliases("coingecko", "pi-network"), pi);
        assert_eq!(table.aliases("coingecko", "bitcoin").len(), 3);
        assert!(table.aliases("coinmarketcap", "pi-network").is_empty());
        for (bad, reason) in [
            ("{}", "invalid type"),
            ("[1]", "invalid type"),
            (r#"[{"coingecko": 1, "coinpaprika": "a"}]"#, "invalid type"),
            (r#"[{"coingecko": "a"}]"#, "coin 1 needs the ids of at least two providers"),
            (r#"[{"coingecko": "a", "cmc": "1"}]"#, "\"cmc\" is none of coinmarketcap,"),
            (r#"[{"coingecko": " ", "coinpaprika": "a"}]"#, "the id of coingecko of coin 1 is empty"),
            (
                r#"[{"coingecko": "a", "coinpaprika": "b"}, {"coingecko": "a", "coinmarketcap": "1"}]"#,
                "coingecko \"a\" is listed twice",
            ),
        ] {
            let error = format!("{:#}", parse(bad).expect_err(bad));
            assert!(error.contains(reason), "{bad}: {error}");
        }
        let missing = Identities::read(Path::new("/does/not/exist"), &known).expect_err("no file");
        assert!(format!("{missing:#}").starts_with("cannot read /does/not/exist"), "{missing:#}");
    }
}
