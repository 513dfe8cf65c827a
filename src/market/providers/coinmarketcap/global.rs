//! Reads figures of the whole market, `GET /v1/global-metrics/quotes/latest`, for one credit.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{super::global::GlobalListing, Call, Global, listing},
    CoinMarketCap, StatusOnly,
};
use crate::upstream::Failure;

/// In bytes; an answer has about 5 kB.
const MAX_SIZE: usize = 256 * 1024;

#[async_trait(?Send)]
impl Global for CoinMarketCap {
    async fn read_global(&self, call: Call<'_>) -> Result<GlobalListing, Failure> {
        let query = [("convert", call.currency)];
        let answer = self.get(call, "/v1/global-metrics/quotes/latest", &query, MAX_SIZE).await?;
        decode(answer.json(call.now)?, call.currency)
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Row,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default, deserialize_with = "listing::optional")]
    btc_dominance: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    eth_dominance: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    active_cryptocurrencies: Option<i64>,
    quote: HashMap<String, Value>,
    #[serde(default, deserialize_with = "listing::time")]
    last_updated: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Quote {
    #[serde(default, deserialize_with = "listing::optional")]
    total_market_cap: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    total_volume_24h: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    total_market_cap_yesterday_percentage_change: Option<f64>,
    #[serde(default, deserialize_with = "listing::time")]
    last_updated: Option<DateTime<Utc>>,
}

fn decode(body: &[u8], currency: &str) -> Result<GlobalListing, Failure> {
    // An error may come with or without data, of any shape.
    let status = serde_json::from_slice::<StatusOnly>(body).map_err(Failure::unexpected_body)?.status;
    if status.error_code != 0 {
        return Err(status.failure());
    }
    let Envelope { data: mut row } = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let quote = row.quote.remove(currency).and_then(|quote| serde_json::from_value::<Quote>(quote).ok());
    let quote = quote.ok_or_else(|| Failure::unexpected_body(format!("no figures in {currency}")))?;
    let in_currency = |amount| vec![(currency.to_owned(), amount)];
    let change = quote.total_market_cap_yesterday_percentage_change;
    Ok(GlobalListing {
        market_cap: in_currency(quote.total_market_cap),
        volume_24h: in_currency(quote.total_volume_24h),
        market_cap_change_24h: change.map(|percent| (percent, currency.to_owned())),
        active_coins: row.active_cryptocurrencies,
        dominance: vec![("BTC".into(), row.btc_dominance), ("ETH".into(), row.eth_dominance)],
        updated_at: quote.last_updated.or(row.last_updated),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Advice;

    #[test]
    fn figures_of_another_shape_are_absent_and_errors_are_failures() {
        let body = br#"{"status":{"error_code":0},"data":{"btc_dominance":58.25,"eth_dominance":"12",
            "active_cryptocurrencies":9876,"quote":{"GBP":{"total_market_cap":2.5e12,"total_volume_24h":null,
            "total_market_cap_yesterday_percentage_change":0.75,"last_updated":"2026-11-20T10:00:00.999Z"}}}}"#;
        let found = decode(body, "GBP").expect("figures");
        assert_eq!(found.market_cap, [("GBP".to_owned(), Some(2.5e12))]);
        assert_eq!(found.dominance, [("BTC".to_owned(), Some(58.25)), ("ETH".to_owned(), None)]);
        assert_eq!(found.market_cap_change_24h, Some((0.75, "GBP".to_owned())));
        assert_eq!(found.active_coins, Some(9876));
        assert!(found.updated_at.is_some() && decode(body, "USD").is_err());
        for bad in ["[]", "{}", "<html>", r#"{"status":{"error_code":0},"data":[]}"#] {
            assert!(decode(bad.as_bytes(), "GBP").is_err(), "{bad}");
        }
        let refused = decode(br#"{"status":{"error_code":1001,"error_message":"no"}}"#, "GBP");
        assert_eq!(refused.err().map(|failure| failure.advice), Some(Advice::Stop));
    }
}
