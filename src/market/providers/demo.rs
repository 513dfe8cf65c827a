//! Provides a snapshot that is compiled into the binary, so that a first run without a network has data to show. Its
//! numbers are invented. Its ids are those of CoinMarketCap, so that coins keep their ids when real data replaces it.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    super::model::{Profile, RateChanges, ReadRate, Report},
    Call, Provider, Rates, coinmarketcap,
};
use crate::{config::ProviderSpec, upstream::Failure};

pub const NAME: &str = "demo";
pub const CURRENCY: &str = "GBP";
pub const ID_NAMESPACE: &str = coinmarketcap::ID_NAMESPACE;
const COUNT: u32 = 20;

/// Units for one pound: also invented, of the right order of magnitude.
const RATES: [(&str, f64); 24] = [
    ("AUD", 2.0),
    ("BRL", 7.2),
    ("CAD", 1.8),
    ("CHF", 1.1),
    ("CNY", 9.5),
    ("CZK", 28.0),
    ("DKK", 8.6),
    ("EUR", 1.15),
    ("HKD", 10.3),
    ("HUF", 450.0),
    ("ILS", 4.4),
    ("INR", 115.0),
    ("JPY", 200.0),
    ("KRW", 1_850.0),
    ("MXN", 24.5),
    ("NOK", 13.4),
    ("NZD", 2.3),
    ("PLN", 4.9),
    ("SEK", 12.6),
    ("SGD", 1.7),
    ("THB", 43.0),
    ("TRY", 55.0),
    ("USD", 1.31),
    ("ZAR", 23.0),
];

static SPEC: ProviderSpec = ProviderSpec {
    name: NAME,
    url: None,
    key: None,
    daily_budget: None,
    monthly_budget: None,
    stands_in_for: None,
};

pub struct Demo;

#[async_trait(?Send)]
impl Provider for Demo {
    fn spec(&self) -> &'static ProviderSpec {
        &SPEC
    }

    fn id_namespace(&self) -> &'static str {
        ID_NAMESPACE
    }

    fn attribution(&self) -> Option<&'static str> {
        None
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn report(&self, _: Call<'_>) -> Result<Report, Failure> {
        Ok(report())
    }

    async fn rates(&self, call: Call<'_>, _: &Report, _: &[String]) -> Result<Rates, Failure> {
        Ok(rates(call.now))
    }

    fn cost_of_rates(&self, _: usize) -> usize {
        0
    }
}

pub fn report() -> Report {
    let body = include_bytes!("demo.json");
    let mut report =
        coinmarketcap::decode(body, CURRENCY, COUNT, DateTime::<Utc>::MAX_UTC).expect("a test decodes it");
    for entry in &mut report.entries {
        // Logos and tags would stay while a provider without them takes over.
        entry.profile = Profile::default();
    }
    report
}

pub fn rates(at: DateTime<Utc>) -> Rates {
    let rate = |(currency, units): &(&str, f64)| {
        let (currency, changes) = ((*currency).to_owned(), RateChanges::default());
        ReadRate { currency, units: *units, changes, at }
    };
    RATES.iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_compiled_in_snapshot_is_complete() {
        let report = super::report();
        assert_eq!(report.entries.len(), 20);
        assert!(report.entries.iter().all(|entry| entry.numbers.price.is_some()));
    }
}
