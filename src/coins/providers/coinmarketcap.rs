//! CoinMarketCap, `GET /v3/cryptocurrency/listings/latest`.
//!
//! Source: the provider's API documentation (coinmarketcap.com/api/documentation). One call
//! costs one credit per 250 coins. Errors come as `status.error_code`, also with HTTP 200, and
//! v1 and v3 differ in the shape of `quote` and the type of `error_code`; both are decoded.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Datelike, Utc};
use reqwest::{Client, Response, StatusCode, header};
use serde::Deserialize;

use super::{
    super::model::{Coin, Entry, Report},
    Advice, Failure,
};
use crate::{config::Coins, http::is_deceptive};

pub const NAME: &str = "coinmarketcap";

/// No market data is older.
const BITCOIN_BEGAN: i32 = 2009;
/// 250 coins are about 400 KB.
const LARGEST_BODY: usize = 8 * 1024 * 1024;
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Asks once.
pub async fn fetch(http: &Client, settings: &Coins, now: DateTime<Utc>) -> Result<Report, Failure> {
    let url = format!("{}/v3/cryptocurrency/listings/latest", settings.coinmarketcap_url);
    let key = settings.coinmarketcap_api_key.as_ref().map_or("", |key| key.expose());
    let count = settings.count.to_string();
    let response = http
        .get(url)
        .header("X-CMC_PRO_API_KEY", key)
        .header(header::ACCEPT, "application/json")
        .query(&[
            ("start", "1"),
            ("limit", &count),
            ("convert", &settings.currency),
            ("sort", "market_cap"),
            ("sort_dir", "desc"),
        ])
        .send()
        .await
        .map_err(|error| unreachable(&error))?;
    let (status, retry_after) = (response.status(), retry_after(&response, now));
    let body = read(response).await?;
    if status.is_success() {
        return decode(&body, &settings.currency, settings.count as usize, now);
    }
    // Only what CoinMarketCap itself says can mean that an operator has to act: a plain 403 may
    // come from anything on the way.
    let status_block = serde_json::from_slice::<Envelope>(&body).ok().map(|envelope| envelope.status);
    let mut failure = status_block.filter(|block| block.error_code != 0).map_or_else(
        || Failure::new(advice_for_status(status), format!("HTTP {}", status.as_u16())),
        |block| block.failure(),
    );
    if let (Some(wait), Advice::BackOff | Advice::After(_)) = (retry_after, failure.advice) {
        failure.advice = Advice::After(wait);
    }
    Err(failure)
}

/// reqwest's text may hold the URL; ours holds no secret, but the cause is enough.
fn unreachable(error: &reqwest::Error) -> Failure {
    let what = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "cannot be reached",
        _ => "the connection broke",
    };
    Failure::new(Advice::BackOff, what)
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(Failure::new(Advice::BackOff, "the body is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(response: &Response, now: DateTime<Utc>) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = if let Ok(seconds) = text.trim().parse() {
        Duration::from_secs(seconds)
    } else {
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        (date.to_utc() - now).to_std().unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

fn advice_for_status(status: StatusCode) -> Advice {
    match status.as_u16() {
        429 => Advice::After(Duration::from_mins(1)),
        _ => Advice::BackOff,
    }
}

#[derive(Deserialize)]
struct Envelope {
    status: Status,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Status {
    timestamp: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "number_or_text")]
    error_code: i64,
    error_message: Option<String>,
}

impl Status {
    /// Codes: the table "Errors and Rate Limits" of the documentation.
    fn failure(&self) -> Failure {
        let advice = match self.error_code {
            1008 | 1011 => Advice::After(Duration::from_mins(1)),
            1009 => Advice::NextDay,
            401..=403 | 1001..=1007 | 1010 => Advice::Stop,
            _ => Advice::BackOff,
        };
        let text = clean(self.error_message.as_deref().unwrap_or_default());
        Failure::new(advice, format!("error {}: {text}", self.error_code))
    }
}

#[derive(Deserialize)]
struct Listing {
    id: i64,
    name: String,
    symbol: String,
    slug: String,
    cmc_rank: Option<i32>,
    quote: Quotes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Quotes {
    V3(Vec<NamedQuote>),
    V1(HashMap<String, Quote>),
}

#[derive(Deserialize)]
struct NamedQuote {
    symbol: String,
    #[serde(flatten)]
    quote: Quote,
}

#[derive(Deserialize)]
struct Quote {
    price: Option<f64>,
    volume_24h: Option<f64>,
    volume_change_24h: Option<f64>,
    percent_change_1h: Option<f64>,
    percent_change_24h: Option<f64>,
    percent_change_7d: Option<f64>,
    market_cap: Option<f64>,
}

fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i64),
        Text(String),
    }
    match Code::deserialize(deserializer)? {
        Code::Number(code) => Ok(code),
        Code::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// The top `count` coins of a body of either version, read at `now`. A body with fewer than four
/// fifths of them is no better than what we have already.
pub fn decode(body: &[u8], currency: &str, count: usize, now: DateTime<Utc>) -> Result<Report, Failure> {
    let garbage = |what: &str| Failure::new(Advice::BackOff, format!("the body makes no sense: {what}"));
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| garbage(&error.to_string()))?;
    if envelope.status.error_code != 0 {
        return Err(envelope.status.failure());
    }
    let listings: Vec<serde_json::Value> =
        serde_json::from_value(envelope.data).map_err(|error| garbage(&error.to_string()))?;
    let mut seen = HashSet::new();
    let mut entries: Vec<_> = listings
        .into_iter()
        .filter_map(|listing| serde_json::from_value::<Listing>(listing).ok())
        .filter(|listing| seen.insert(listing.id))
        .filter_map(|listing| entry(listing, currency))
        .collect();
    let priced = entries.iter().filter(|entry| entry.coin.price.is_some()).count();
    if priced == 0 || priced * 5 < count * 4 {
        return Err(garbage(&format!("only {priced} of {count} coins have a price")));
    }
    entries.sort_by_key(|entry| entry.coin.rank);
    entries.truncate(count);
    let timestamp = envelope.status.timestamp.filter(|time| time.year() >= BITCOIN_BEGAN);
    let as_of = timestamp.unwrap_or(now).min(now);
    Ok(Report { currency: currency.to_owned(), as_of, entries })
}

/// None for a coin without a quote in our currency or without a rank.
fn entry(listing: Listing, currency: &str) -> Option<Entry> {
    let quote = match listing.quote {
        Quotes::V3(quotes) => quotes.into_iter().find(|named| named.symbol == currency)?.quote,
        Quotes::V1(mut quotes) => quotes.remove(currency)?,
    };
    let amount = |value: Option<f64>| value.filter(|value| *value >= 0.0);
    Some(Entry {
        provider_coin_id: listing.id.to_string(),
        coin: Coin {
            id: 0,
            symbol: clean(&listing.symbol),
            name: clean(&listing.name),
            slug: clean(&listing.slug),
            rank: listing.cmc_rank.filter(|rank| *rank > 0)?,
            price: amount(quote.price),
            volume_24h: amount(quote.volume_24h),
            volume_change_24h: quote.volume_change_24h,
            percent_change_1h: quote.percent_change_1h,
            percent_change_24h: quote.percent_change_24h,
            percent_change_7d: quote.percent_change_7d,
            market_cap: amount(quote.market_cap),
        },
    })
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_deceptive(*c)).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/cmc_{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).expect("fixture")
    }

    #[test]
    fn both_versions_give_the_same_report() {
        let v3 = decode(&fixture("v3_listings_latest_gbp"), "GBP", 20, DateTime::UNIX_EPOCH).expect("v3");
        let v1 = decode(&fixture("v1_listings_latest_gbp"), "GBP", 20, DateTime::UNIX_EPOCH).expect("v1");
        assert_eq!(v3, v1);
        assert_eq!(v3.entries.len(), 20);
        let bitcoin = &v3.entries[0].coin;
        assert_eq!((bitcoin.symbol.as_str(), bitcoin.rank), ("BTC", 1));
        assert_eq!(bitcoin.price, Some(70211.4421));
        assert_eq!(bitcoin.volume_change_24h, Some(-37.9991));
    }

    #[test]
    fn each_error_code_has_its_own_advice() {
        let minute = Advice::After(Duration::from_mins(1));
        let cases = [
            ("error_400", Advice::BackOff),
            ("error_401_invalid_key", Advice::Stop),
            ("error_401_missing_key", Advice::Stop),
            ("error_402_expired", Advice::Stop),
            ("error_403_plan", Advice::Stop),
            ("error_429_minute", minute),
            ("error_429_ip", minute),
            ("error_429_day", Advice::NextDay),
            ("error_429_month", Advice::Stop),
            ("error_500", Advice::BackOff),
        ];
        for (name, advice) in cases {
            let failure = decode(&fixture(name), "GBP", 20, DateTime::UNIX_EPOCH).expect_err(name);
            assert_eq!(failure.advice, advice, "{name}");
        }
    }

    #[test]
    fn garbage_is_a_failure_and_never_an_empty_report() {
        let bodies = [
            "",
            "{",
            "<html>",
            "[]",
            "{}",
            "null",
            r#"{"status":{"error_code":0},"data":[]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"GBP":{"price":1}}}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"USD":{"price":1}}}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"GBP":{"price":-1}}}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"GBP":{"price":1e999}}}]}"#,
        ];
        for body in bodies {
            assert!(decode(body.as_bytes(), "GBP", 20, DateTime::UNIX_EPOCH).is_err(), "{body}");
        }
    }

    #[test]
    fn one_odd_coin_does_not_spoil_the_others_and_odd_text_is_cleaned() {
        let text = String::from_utf8(fixture("v3_listings_latest_gbp")).expect("UTF-8");
        let odd = text.replacen("\"name\": \"Ethereum\"", "\"name\": null", 1);
        let odd = odd.replacen("\"Bitcoin\"", "\"Bit\\u202ecoin\\u0000\"", 1);
        let report = decode(odd.as_bytes(), "GBP", 20, DateTime::UNIX_EPOCH).expect("a report");
        assert_eq!(report.entries.len(), 19);
        assert_eq!(report.entries[0].coin.name, "Bitcoin");
        let failure = r#"{"status":{"error_code":1002,"error_message":"a\u0000b"}}"#;
        let failure = decode(failure.as_bytes(), "GBP", 20, DateTime::UNIX_EPOCH).expect_err("a failure");
        assert_eq!(failure, Failure::new(Advice::Stop, "error 1002: ab"));
    }
}
