//! Who reports on the market, one file each: an address, the provider's shape, its errors.

mod coingecko;
mod coinmarketcap;
mod coinpaprika;
pub mod demo;
mod listing;

use chrono::{DateTime, TimeDelta, Utc};

use super::model::Report;
use crate::{
    config::{Coins, Provider},
    upstream::{Failure, Upstream},
};

/// Data of a provider that is older stands still: they renew it every one to five minutes.
pub const STANDS_STILL: TimeDelta = TimeDelta::minutes(15);

/// What every provider needs to be asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub upstream: &'a Upstream,
    pub settings: &'a Coins,
    pub now: DateTime<Utc>,
}

/// The top coins in the first currency; one call.
pub async fn report(provider: Provider, ask: Ask<'_>) -> Result<Report, Failure> {
    match provider {
        Provider::CoinMarketCap | Provider::CoinMarketCapPublic => coinmarketcap::report(provider, ask).await,
        Provider::CoinGecko => coingecko::report(ask).await,
        Provider::CoinPaprika => coinpaprika::report(ask).await,
        Provider::Demo => Ok(demo::report()),
    }
}

/// Units of each of these currencies for one of the report's, from the prices of the same coins
/// in both; costs [`cost_of_rates`].
pub async fn rates(
    provider: Provider,
    ask: Ask<'_>,
    report: &Report,
    currencies: &[String],
) -> Result<Vec<(String, f64)>, Failure> {
    match provider {
        Provider::CoinMarketCap | Provider::CoinMarketCapPublic => {
            coinmarketcap::rates(provider, ask, report, currencies).await
        }
        Provider::CoinGecko => coingecko::rates(ask, report, currencies).await,
        Provider::CoinPaprika => coinpaprika::rates(ask, report, currencies).await,
        Provider::Demo => Ok(demo::rates()),
    }
}

/// Credits or calls that [`rates`] uses for so many currencies.
pub fn cost_of_rates(provider: Provider, currencies: usize) -> u32 {
    let calls = match provider {
        Provider::CoinMarketCap | Provider::CoinMarketCapPublic => currencies,
        Provider::CoinGecko => 1,
        Provider::CoinPaprika => currencies.div_ceil(coinpaprika::CURRENCIES_A_CALL),
        Provider::Demo => 0,
    };
    u32::try_from(calls).expect("few currencies")
}

/// Whose ids a provider's coins have, as in `coin_refs.provider`.
pub fn ids_of(provider: Provider) -> &'static str {
    match provider {
        Provider::CoinMarketCap | Provider::CoinMarketCapPublic | Provider::Demo => "coinmarketcap",
        Provider::CoinGecko => "coingecko",
        Provider::CoinPaprika => "coinpaprika",
    }
}

/// What the provider's terms ask to be shown beside its data.
pub fn attribution(provider: &str) -> Option<&'static str> {
    match provider {
        "coinmarketcap" | "coinmarketcap-public" => {
            Some("Data provided by CoinMarketCap (https://coinmarketcap.com)")
        }
        "coingecko" => Some("Data provided by CoinGecko (https://www.coingecko.com)"),
        "coinpaprika" => Some("Data provided by CoinPaprika (https://coinpaprika.com)"),
        _ => None,
    }
}

#[cfg(test)]
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("fixture")
}
