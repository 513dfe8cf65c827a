//! Decides which coins of different providers are the same coin.
//!
//! They are the same if the table of well-known coins lists both ids. They are also the same if symbol and name are equal,
//! no other coin of either provider has both, and the prices agree. Otherwise a new coin is created: two rows for one coin
//! can be corrected, one row for two coins shows wrong prices. A ticker symbol alone is never enough.

use chrono::TimeDelta;

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
pub fn aliases(provider: &str, id: &str) -> Option<[(&'static str, &'static str); 3]> {
    let named = |(coinmarketcap, coingecko, coinpaprika): &(&'static str, &'static str, &'static str)| {
        [("coinmarketcap", *coinmarketcap), ("coingecko", *coingecko), ("coinpaprika", *coinpaprika)]
    };
    KNOWN.iter().map(named).find(|names| names.contains(&(provider, id)))
}

/// The properties by which coins are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    symbol: String,
    name: String,
    price: Option<f64>,
}

impl Likeness {
    pub fn new(symbol: &str, name: &str, price: Option<f64>) -> Self {
        let plain =
            |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        Self { symbol: plain(symbol), name: plain(name), price }
    }

    /// Whether symbol and name are equal.
    pub fn has_name_of(&self, other: &Self) -> bool {
        self.symbol == other.symbol && self.name == other.name
    }

    /// Whether both prices may be of one coin, when the older one has this age. The prices of coins that only share a name
    /// differ by orders of magnitude.
    pub fn has_price_of(&self, other: &Self, age: TimeDelta) -> bool {
        let factor = match age {
            age if age <= TimeDelta::hours(1) => 1.05,
            age if age <= TimeDelta::days(7) => 2.0,
            _ => return false,
        };
        match (self.price, other.price) {
            (Some(one), Some(two)) => one <= two * factor && two <= one * factor,
            _ => false,
        }
    }
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
        let one = Likeness::new("USDe", "Ethena USDe", Some(1.0));
        assert!(one.has_name_of(&Likeness::new("usde", "ethena-usde", None)));
        assert!(!one.has_name_of(&Likeness::new("usde", "Ethena", None)));
        assert!(!one.has_name_of(&Likeness::new("usd", "Ethena USDe", None)));
        let costs = |price, hours| {
            one.has_price_of(&Likeness::new("USDe", "Ethena USDe", price), TimeDelta::hours(hours))
        };
        assert!(costs(Some(1.04), 1) && costs(Some(0.96), 1));
        assert!(!costs(Some(1.06), 1) && costs(Some(1.06), 2));
        assert!(!costs(Some(2.1), 2) && !costs(Some(1.0), 24 * 8) && !costs(None, 1));
    }
}
