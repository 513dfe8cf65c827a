//! A snapshot compiled into the binary, so that a first run without a key shows something. The
//! numbers are made up; the ids are CoinMarketCap's, so that a coin stays the same coin when
//! real data takes over.

use chrono::{DateTime, Utc};

use super::{super::model::Report, coinmarketcap};

pub const CURRENCY: &str = "GBP";
const COUNT: usize = 20;

pub fn report() -> Report {
    let body = include_bytes!("demo.json");
    coinmarketcap::decode(body, CURRENCY, COUNT, DateTime::<Utc>::MAX_UTC).expect("a test decodes it")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_compiled_in_snapshot_is_whole() {
        let report = super::report();
        assert_eq!(report.entries.len(), 20);
        assert!(report.entries.iter().all(|entry| entry.coin.price.is_some()));
    }
}
