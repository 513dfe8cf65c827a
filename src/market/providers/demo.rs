//! A snapshot compiled into the binary, so that a first run without a network shows something.
//! The numbers are made up; the ids are CoinMarketCap's, so that a coin stays the same coin when
//! real data takes over.

use chrono::{DateTime, Utc};

use super::{super::model::Report, coinmarketcap};

pub const CURRENCY: &str = "GBP";
const COUNT: u32 = 20;

/// Made up as well, of the right order: units for a pound.
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

pub fn report() -> Report {
    let body = include_bytes!("demo.json");
    coinmarketcap::decode(body, CURRENCY, COUNT, DateTime::<Utc>::MAX_UTC).expect("a test decodes it")
}

pub fn rates() -> Vec<(String, f64)> {
    RATES.iter().map(|(currency, rate)| ((*currency).to_owned(), *rate)).collect()
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
