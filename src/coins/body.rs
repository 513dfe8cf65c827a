//! Defines the bodies that several answers share: a list of coins, its provenance, the frame of an event.

use std::fmt::Display;

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::market::Coin;

#[derive(Serialize, ToSchema)]
pub struct CoinList<'a> {
    #[serde(flatten)]
    pub provenance: Provenance,
    pub data: Vec<&'a Coin>,
}

/// Where the data comes from and how old it is.
#[derive(Serialize, ToSchema)]
pub struct Provenance {
    /// The time that the provider states for the data.
    pub as_of: DateTime<Utc>,
    /// The provider; `demo` is made up: the last resort, whatever is configured, until a provider has answered
    /// once.
    #[schema(example = "coinmarketcap")]
    pub source: String,
    /// To be shown beside the data: the provider's terms ask for it. Not there for `demo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "Data provided by CoinMarketCap (https://coinmarketcap.com)")]
    pub attribution: Option<&'static str>,
    /// ISO 4217 code of every amount.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Whether the last good sync is too long ago (three missed syncs), or the provider's own time (15 minutes, or
    /// three syncs if that is more). The demonstration always is.
    pub stale: bool,
    /// Age of the data in seconds, to the minute; only when it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, minimum = 0, example = 1800)]
    pub age_seconds: Option<i64>,
}

/// A snapshot on its way to readers. `json` must be one line, as `serde_json` writes it.
pub fn event(id: impl Display, json: &[u8]) -> Bytes {
    let head = format!("id: {id}\nevent: snapshot\ndata: ");
    [head.as_bytes(), json, b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_the_standard_says() {
        assert_eq!(event(7, br#"{"a":1}"#), "id: 7\nevent: snapshot\ndata: {\"a\":1}\n\n");
    }
}
