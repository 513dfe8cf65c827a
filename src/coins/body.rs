//! Defines the bodies that several answers share: a list of coins, its provenance, the frame of an event.

use std::fmt::Display;

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    db::CoinId,
    market::{self, Coin, Identity},
    social::SocialSource,
};

#[derive(Serialize, ToSchema)]
pub struct CoinList<'a> {
    #[serde(flatten)]
    pub provenance: Provenance,
    pub data: Vec<&'a Coin>,
    /// Only with `watchlist=true`: watched coins of which the last sync has no data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<AbsentCoin>, required = false)]
    pub absent: Option<Vec<AbsentCoin>>,
}

/// A coin without data in the last sync, because no provider knows it any more, or too many coins are followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AbsentCoin {
    #[schema(value_type = i64, example = 42)]
    pub id: CoinId,
    #[schema(example = "LUNC")]
    pub symbol: String,
    #[schema(example = "Terra Classic")]
    pub name: String,
    #[schema(example = "terra-luna")]
    pub slug: String,
}

impl From<Identity> for AbsentCoin {
    fn from(Identity { id, symbol, name, slug }: Identity) -> Self {
        Self { id, symbol, name, slug }
    }
}

/// Source and age of the data.
#[derive(Clone, Serialize, ToSchema)]
pub struct Provenance {
    /// When the data was current, according to the provider.
    pub as_of: DateTime<Utc>,
    /// The provider. `simulation` and `demo` are invented data, served until a provider has answered once.
    #[schema(example = "coinmarketcap")]
    pub source: String,
    /// Whether the numbers are invented: those of `simulation`, `simulation-2` and `demo` are. They are never shown
    /// together with real ones.
    #[schema(example = false)]
    pub simulated: bool,
    /// Show this text beside the data: the provider's terms require it. Missing for `demo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "Data provided by CoinMarketCap (https://coinmarketcap.com)")]
    pub attribution: Option<&'static str>,
    /// ISO 4217 code of every amount.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Whether three syncs in a row were missed, or `as_of` is older than 15 minutes (three syncs, if that is longer).
    /// Always true for `demo`.
    #[schema(example = false)]
    pub stale: bool,
    /// Age of stale data in seconds, rounded down to the minute, such as 1800. Missing if the data is not stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, minimum = 0)]
    pub age_seconds: Option<i64>,
    /// When newer data is expected: ask again then. It is some seconds after the next sync begins. Null if no provider is
    /// configured.
    #[schema(example = "2026-11-20T09:35:10Z")]
    pub next_update_at: Option<DateTime<Utc>>,
    /// Sources of posts about coins, and when each was last read; empty if none is configured.
    pub social_sources: Vec<SocialSource>,
}

/// A source of an answer, with the text that its terms require beside the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attribution {
    /// A market data provider, or a provider of posts: `mastodon`, `bluesky`, `x`.
    #[schema(example = "coinmarketcap")]
    pub source: String,
    /// Show this text beside the data. Null for providers of posts, which require none.
    #[schema(example = "Data provided by CoinMarketCap (https://coinmarketcap.com)")]
    pub attribution: Option<&'static str>,
}

impl Attribution {
    /// Names a source with its text.
    pub fn of(source: &str) -> Self {
        Self { source: source.to_owned(), attribution: market::attribution(source) }
    }
}

/// Frames an event. `json` must be one line, as `serde_json` writes it.
pub fn event(id: impl Display, name: &str, json: &[u8]) -> Bytes {
    let head = format!("id: {id}\nevent: {name}\ndata: ");
    [head.as_bytes(), json, b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_fields_of_the_standard() {
        assert_eq!(event(7, "snapshot", br#"{"a":1}"#), "id: 7\nevent: snapshot\ndata: {\"a\":1}\n\n");
    }
}
