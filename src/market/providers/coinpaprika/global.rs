//! Reads figures of the whole market, `GET /v1/global`, which are in US dollars.

use async_trait::async_trait;
use chrono::DateTime;
use serde::Deserialize;

use super::{
    super::{super::global::GlobalListing, Call, Global, listing},
    CoinPaprika, get,
};
use crate::upstream::Failure;

#[async_trait(?Send)]
impl Global for CoinPaprika {
    async fn read_global(&self, call: Call<'_>) -> Result<GlobalListing, Failure> {
        decode(get(call, "/v1/global", &[]).await?.json(call.now)?)
    }
}

fn decode(body: &[u8]) -> Result<GlobalListing, Failure> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(default, deserialize_with = "listing::optional")]
        market_cap_usd: Option<f64>,
        #[serde(default, deserialize_with = "listing::optional")]
        volume_24h_usd: Option<f64>,
        #[serde(default, deserialize_with = "listing::optional")]
        bitcoin_dominance_percentage: Option<f64>,
        #[serde(default, deserialize_with = "listing::optional")]
        cryptocurrencies_number: Option<i64>,
        #[serde(default, deserialize_with = "listing::optional")]
        market_cap_change_24h: Option<f64>,
        #[serde(default, deserialize_with = "listing::optional")]
        last_updated: Option<i64>,
    }
    let row: Row = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let dollars = |amount| vec![("USD".to_owned(), amount)];
    Ok(GlobalListing {
        market_cap: dollars(row.market_cap_usd),
        volume_24h: dollars(row.volume_24h_usd),
        market_cap_change_24h: row.market_cap_change_24h.map(|percent| (percent, "USD".into())),
        active_coins: row.cryptocurrencies_number,
        dominance: vec![("BTC".to_owned(), row.bitcoin_dominance_percentage)],
        updated_at: row.last_updated.and_then(|at| DateTime::from_timestamp(at, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_another_shape_are_absent() {
        let body =
            br#"{"market_cap_usd":3500000000000,"volume_24h_usd":"much","bitcoin_dominance_percentage":57.9,
            "cryptocurrencies_number":2500,"market_cap_change_24h":null,"last_updated":1795168800}"#;
        let found = decode(body).expect("figures");
        assert_eq!(found.market_cap, [("USD".to_owned(), Some(3.5e12))]);
        assert_eq!(found.volume_24h, [("USD".to_owned(), None)]);
        assert_eq!(found.dominance, [("BTC".to_owned(), Some(57.9))]);
        assert_eq!((found.market_cap_change_24h, found.active_coins), (None, Some(2500)));
        assert_eq!(found.updated_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-20T10:00:00+00:00"));
        for bad in ["[", "5", "<html>"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
