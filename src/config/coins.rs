use std::{str::FromStr, time::Duration};

use super::env::{Env, Secret};

/// Where market data comes from.
#[derive(Clone, Debug)]
pub struct Coins {
    pub providers: Vec<Provider>,
    /// ISO 4217, upper case.
    pub currency: String,
    /// The top so many by market capitalisation.
    pub count: u32,
    pub sync_interval: Duration,
    pub coinmarketcap_url: String,
    pub coinmarketcap_api_key: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    CoinMarketCap,
    /// The snapshot compiled into the binary.
    Demo,
}

impl FromStr for Provider {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "coinmarketcap" => Ok(Self::CoinMarketCap),
            "demo" => Ok(Self::Demo),
            _ => Err(()),
        }
    }
}

impl Coins {
    pub(super) fn read(env: &mut Env) -> Self {
        let key = env.secret("COINMARKETCAP_API_KEY");
        let mut providers: Vec<Provider> = env.list("COINS_PROVIDERS", "providers: coinmarketcap, demo");
        if providers.is_empty() {
            providers = match key {
                Some(_) => vec![Provider::CoinMarketCap],
                None => vec![Provider::Demo],
            };
        }
        if providers.contains(&Provider::CoinMarketCap) && key.is_none() {
            env.wrong("COINMARKETCAP_API_KEY", "set when COINS_PROVIDERS names coinmarketcap");
        }
        let url = env.text("COINMARKETCAP_URL").unwrap_or_else(|| "https://pro-api.coinmarketcap.com".into());
        if !url::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            env.wrong("COINMARKETCAP_URL", "an http(s) address");
        }
        Self {
            providers,
            currency: read_currency(env),
            count: env.number("COINS_COUNT", 20, 1..=250),
            sync_interval: env.duration(
                "COINS_SYNC_INTERVAL",
                Duration::from_mins(5),
                Duration::from_secs(1)..=Duration::from_hours(24),
            ),
            coinmarketcap_url: url.trim_end_matches('/').to_owned(),
            coinmarketcap_api_key: key,
        }
    }
}

fn read_currency(env: &mut Env) -> String {
    let currencies: Vec<String> = env.list("COINS_CURRENCIES", "currencies");
    match currencies.as_slice() {
        [] => "GBP".into(),
        [code] if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            code.to_ascii_uppercase()
        }
        _ => {
            env.wrong("COINS_CURRENCIES", "one ISO 4217 code such as GBP");
            "GBP".into()
        }
    }
}
