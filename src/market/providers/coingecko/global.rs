//! Reads figures of the whole market, `GET /api/v3/global`.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{super::global::GlobalListing, Call, Global, listing},
    CoinGecko, answer_within, decode_error, request,
};
use crate::upstream::Failure;

/// In bytes; an answer has about 5 kB.
const MAX_SIZE: usize = 256 * 1024;

#[async_trait(?Send)]
impl Global for CoinGecko {
    async fn read_global(&self, call: Call<'_>) -> Result<GlobalListing, Failure> {
        let request = request(call, "/api/v3/global");
        decode(answer_within(call, request, MAX_SIZE).await?.json(call.now)?)
    }
}

fn decode(body: &[u8]) -> Result<GlobalListing, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Row,
    }
    #[derive(Deserialize)]
    struct Row {
        #[serde(default)]
        total_market_cap: HashMap<String, Value>,
        #[serde(default)]
        total_volume: HashMap<String, Value>,
        #[serde(default)]
        market_cap_percentage: HashMap<String, Value>,
        #[serde(default, deserialize_with = "listing::optional")]
        market_cap_change_percentage_24h_usd: Option<f64>,
        #[serde(default, deserialize_with = "listing::optional")]
        active_cryptocurrencies: Option<i64>,
        #[serde(default, deserialize_with = "listing::optional")]
        updated_at: Option<i64>,
    }
    let Envelope { data: row } = serde_json::from_slice(body)
        .map_err(|error| decode_error(body).unwrap_or_else(|| Failure::unexpected_body(error)))?;
    let pairs = |named: HashMap<String, Value>| {
        named.into_iter().map(|(name, value)| (name, value.as_f64())).collect()
    };
    Ok(GlobalListing {
        market_cap: pairs(row.total_market_cap),
        volume_24h: pairs(row.total_volume),
        market_cap_change_24h: row
            .market_cap_change_percentage_24h_usd
            .map(|percent| (percent, "USD".into())),
        active_coins: row.active_cryptocurrencies,
        dominance: pairs(row.market_cap_percentage),
        updated_at: row.updated_at.and_then(|at| DateTime::from_timestamp(at, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_another_shape_are_absent_and_errors_are_failures() {
        let found = decode(
            br#"{"data":{"total_market_cap":{"gbp":"a lot","usd":3.5e12},"total_volume":{},
            "market_cap_percentage":{"btc":58.1,"eth":null},"active_cryptocurrencies":"many",
            "market_cap_change_percentage_24h_usd":-1.5,"updated_at":1795168800}}"#,
        )
        .expect("figures");
        let mut caps = found.market_cap;
        caps.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        assert_eq!(caps, [("gbp".to_owned(), None), ("usd".to_owned(), Some(3.5e12))]);
        assert_eq!(found.market_cap_change_24h, Some((-1.5, "USD".to_owned())));
        assert_eq!((found.active_coins, found.dominance.len()), (None, 2));
        assert_eq!(found.updated_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-20T10:00:00+00:00"));
        for bad in ["[]", "{}", "<html>", r#"{"data":5}"#, r#"{"data":{"total_market_cap":5}}"#] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
        let limited = decode(br#"{"status":{"error_code":429}}"#).err().expect("a failure");
        assert!(limited.message.contains("429"), "{limited}");
    }
}
