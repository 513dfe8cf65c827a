//! Settings of market data.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{
    address,
    env::{Env, Secret},
};

/// Where market data comes from.
#[derive(Clone, Debug)]
pub struct Coins {
    /// In the order in which they are tried.
    pub providers: Vec<Provider>,
    /// ISO 4217 codes in upper case, at least one. Data is fetched in the first.
    pub currencies: Vec<String>,
    /// Number of coins, the largest by market capitalisation.
    pub count: u32,
    pub sync_interval: Duration,
    /// Timeout of a call of a provider, from connecting to the last byte.
    pub timeout: Duration,
    pub coinmarketcap: Upstream,
    pub coingecko: Upstream,
    /// Whether the key is of a paid plan, which uses another header.
    pub coingecko_pro: bool,
    pub coinpaprika: Upstream,
}

/// A provider's address, key and budget.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Without a trailing slash.
    pub url: String,
    pub key: Option<Secret>,
    /// Credits or calls per UTC day; None: no limit.
    pub daily_budget: Option<u32>,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum Provider {
    CoinMarketCap,
    /// CoinMarketCap without a key.
    #[strum(serialize = "coinmarketcap-public")]
    CoinMarketCapPublic,
    CoinGecko,
    CoinPaprika,
    /// The snapshot compiled into the binary.
    Demo,
}

impl Provider {
    /// The name in `COINS_PROVIDERS` and in `source`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Coins {
    pub(super) fn read(env: &mut Env) -> Self {
        let plans = [("demo", false), ("pro", true)];
        let coingecko_pro = env.choice("COINGECKO_PLAN", false, &plans);
        let coingecko_host =
            if coingecko_pro { "https://pro-api.coingecko.com" } else { "https://api.coingecko.com" };
        let coinmarketcap = Upstream {
            url: read_url(env, "COINMARKETCAP_URL", "https://pro-api.coinmarketcap.com"),
            key: env.secret("COINMARKETCAP_API_KEY"),
            daily_budget: read_budget(env, "COINMARKETCAP_DAILY_CREDITS"),
        };
        let coingecko = Upstream {
            url: read_url(env, "COINGECKO_URL", coingecko_host),
            key: env.secret("COINGECKO_API_KEY"),
            daily_budget: read_budget(env, "COINGECKO_DAILY_CALLS"),
        };
        let coinpaprika = Upstream {
            url: read_url(env, "COINPAPRIKA_URL", "https://api.coinpaprika.com"),
            key: None,
            daily_budget: None,
        };
        if coingecko_pro && coingecko.key.is_none() {
            env.wrong("COINGECKO_API_KEY", "set when COINGECKO_PLAN is pro");
        }
        Self {
            providers: read_providers(env, coinmarketcap.key.is_some()),
            currencies: read_currencies(env),
            count: env.number("COINS_COUNT", 20, 1..=250),
            sync_interval: env.duration(
                "COINS_SYNC_INTERVAL",
                Duration::from_mins(5),
                Duration::from_secs(1)..=Duration::from_hours(24),
            ),
            timeout: env.duration(
                "UPSTREAM_TIMEOUT",
                Duration::from_secs(10),
                Duration::from_secs(1)..=Duration::from_secs(10),
            ),
            coinmarketcap,
            coingecko,
            coingecko_pro,
            coinpaprika,
        }
    }
}

fn read_providers(env: &mut Env, has_key: bool) -> Vec<Provider> {
    use Provider::{CoinGecko, CoinMarketCap, CoinMarketCapPublic, CoinPaprika, Demo};
    let names = Provider::VARIANTS.join(", ");
    let mut providers: Vec<Provider> = env.list("COINS_PROVIDERS", &format!("providers: {names}"));
    if providers.is_empty() {
        return if has_key {
            vec![CoinMarketCap, CoinGecko, CoinPaprika, Demo]
        } else {
            vec![CoinGecko, CoinMarketCapPublic, CoinPaprika, Demo]
        };
    }
    if providers.contains(&CoinMarketCap) && !has_key {
        env.wrong("COINMARKETCAP_API_KEY", "set when COINS_PROVIDERS names coinmarketcap");
    }
    let mut seen = std::collections::HashSet::new();
    providers.retain(|provider| seen.insert(*provider));
    providers
}

fn read_url(env: &mut Env, name: &'static str, default: &str) -> String {
    let expected = "an http(s) address without a user name, a password or a query";
    address::read(env, name, &["http", "https"], expected).unwrap_or_else(|| default.into())
}

fn read_budget(env: &mut Env, name: &'static str) -> Option<u32> {
    let budget = env.number(name, 0, 0..=1_000_000);
    (budget > 0).then_some(budget)
}

/// Each currency costs credits of the provider and a response body in memory.
const MAX_CURRENCIES: usize = 10;

fn read_currencies(env: &mut Env) -> Vec<String> {
    let mut currencies: Vec<String> = env.list("COINS_CURRENCIES", "currencies");
    let is_code = |code: &String| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !currencies.iter().all(is_code) || currencies.len() > MAX_CURRENCIES {
        env.wrong("COINS_CURRENCIES", "at most 10 ISO 4217 codes such as GBP,USD");
        currencies.clear();
    }
    let mut seen = std::collections::HashSet::new();
    for code in &mut currencies {
        code.make_ascii_uppercase();
    }
    currencies.retain(|code| seen.insert(code.clone()));
    if currencies.is_empty() {
        currencies.push("GBP".into());
    }
    currencies
}
