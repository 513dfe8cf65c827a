//! Reads the fear and greed index of alternative.me, `GET /fng/`, without a key.
//!
//! Source: the description of its API (alternative.me/crypto/fear-and-greed-index). It is renewed once a day. Its terms
//! allow commercial use with an attribution right beside the data. Numbers and times come as text.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::global::{Classification, FearAndGreed, Sourced};
use crate::upstream::{Failure, Readable, Upstream};

/// The name of the service and of the source.
pub const SOURCE: &str = "alternative.me";
pub const ATTRIBUTION: &str =
    "Crypto Fear & Greed Index by Alternative.me (https://alternative.me/crypto/fear-and-greed-index/)";
/// In bytes; an answer has about 300.
const MAX_SIZE: usize = 64 * 1024;

/// Reads the newest value.
pub async fn read(
    upstream: &Upstream,
    url: &str,
    now: DateTime<Utc>,
) -> Result<Sourced<FearAndGreed>, Failure> {
    let request = upstream.get(&format!("{url}/fng/")).query(&[("limit", "1"), ("format", "json")]);
    decode(upstream.send_bounded(request, MAX_SIZE).await?.json(now)?, now)
}

fn decode(body: &[u8], now: DateTime<Utc>) -> Result<Sourced<FearAndGreed>, Failure> {
    #[derive(Deserialize)]
    struct Index {
        data: Readable<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        value: Value,
        value_classification: String,
        timestamp: Value,
    }
    let index: Index = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let row = index.data.items.first().ok_or_else(|| Failure::unexpected_body("no value"))?;
    let value = number(&row.value).and_then(|value| u8::try_from(value).ok()).filter(|value| *value <= 100);
    let value = value.ok_or_else(|| Failure::unexpected_body("the value is not from 0 to 100"))?;
    let classification = classification(&row.value_classification)
        .ok_or_else(|| Failure::unexpected_body("an unknown classification"))?;
    let at = number(&row.timestamp).filter(|at| *at > 0).and_then(|at| DateTime::from_timestamp(at, 0));
    let at = at.ok_or_else(|| Failure::unexpected_body("no time of the value"))?;
    let figures = FearAndGreed { value, classification };
    // A time in the future comes from another clock.
    Ok(Sourced { source: SOURCE.to_owned(), as_of: at.min(now), figures })
}

/// Reads a whole number, which may come as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn classification(text: &str) -> Option<Classification> {
    match text.trim().to_ascii_lowercase().as_str() {
        "extreme fear" => Some(Classification::ExtremeFear),
        "fear" => Some(Classification::Fear),
        "neutral" => Some(Classification::Neutral),
        "greed" => Some(Classification::Greed),
        "extreme greed" => Some(Classification::ExtremeGreed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T10:00:00Z".parse().expect("a time")
    }

    fn body(value: &str, class: &str, at: &str) -> String {
        format!(
            r#"{{"name":"Fear and Greed Index","data":[{{"value":{value},"value_classification":{class},
            "timestamp":{at},"time_until_update":"50400"}}],"metadata":{{"error":null}}}}"#
        )
    }

    #[test]
    fn numbers_and_times_come_as_text_or_as_numbers() {
        for (value, at) in [("\"11\"", "\"1795132800\""), ("11", "1795132800")] {
            let found = decode(body(value, "\"Extreme Fear\"", at).as_bytes(), now()).expect("an index");
            let expected = FearAndGreed { value: 11, classification: Classification::ExtremeFear };
            assert_eq!((found.figures, found.source.as_str()), (expected, SOURCE));
            assert_eq!(found.as_of.to_rfc3339(), "2026-11-20T00:00:00+00:00");
        }
        let ahead = decode(body("\"50\"", "\"Neutral\"", "\"9999999999\"").as_bytes(), now());
        assert_eq!(ahead.map(|found| found.as_of), Ok(now()));
    }

    #[test]
    fn anything_else_is_a_failure() {
        for value in
            ["\"-1\"", "\"101\"", "101", "\"many\"", "1e9", "null", "\"1e1\"", "\"999999999999999999999\""]
        {
            assert!(decode(body(value, "\"Fear\"", "\"1795132800\"").as_bytes(), now()).is_err(), "{value}");
        }
        for at in ["\"\"", "null", "-5", "\"9223372036854775807\"", "\"0\""] {
            assert!(decode(body("\"40\"", "\"Fear\"", at).as_bytes(), now()).is_err(), "{at}");
        }
        assert!(decode(body("\"40\"", "\"Panic\"", "\"1795132800\"").as_bytes(), now()).is_err());
        for text in ["", "[]", "{}", "<html>", r#"{"data":[]}"#, r#"{"data":[1]}"#, r#"{"data":{}}"#] {
            assert!(decode(text.as_bytes(), now()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in ".*", value in ".*", at in any::<i64>()) {
            let _ = decode(text.as_bytes(), now());
            let value = serde_json::to_string(&value).expect("text");
            if let Ok(found) = decode(body(&value, "\"Greed\"", &at.to_string()).as_bytes(), now()) {
                prop_assert!(found.figures.value <= 100 && found.as_of <= now());
            }
        }
    }
}
