//! CoinGecko, `GET /api/v3/coins/markets`; without a key, with a demo key or with a paid one.
//!
//! Source: the provider's API documentation (docs.coingecko.com). One call is one call of the
//! plan (10,000 a month with a demo key; without one limited by address). It has no
//! `volume_change_24h`: that comes from our own history. Rates come from `/simple/price`, one call
//! for all currencies.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::RequestBuilder;
use serde::Deserialize;

use super::{
    super::model::Report,
    Ask,
    listing::{self, Listing},
};
use crate::upstream::{Advice, Answer, Failure, Readable};

/// Whose prices tell the rates between currencies: it has one in every currency.
const FOR_RATES: &str = "bitcoin";

pub async fn report(ask: Ask<'_>) -> Result<Report, Failure> {
    let currency = &ask.settings.currencies[0];
    let count = ask.settings.count.to_string();
    let request = request(ask, "/api/v3/coins/markets").query(&[
        ("vs_currency", currency.to_lowercase().as_str()),
        ("order", "market_cap_desc"),
        ("per_page", &count),
        ("page", "1"),
        ("sparkline", "false"),
        ("price_change_percentage", "1h,24h,7d"),
    ]);
    let answer = answer(ask, request).await?;
    decode(answer.json(ask.now)?, currency, ask.settings.count, ask.now)
}

pub async fn rates(
    ask: Ask<'_>,
    report: &Report,
    currencies: &[String],
) -> Result<Vec<(String, f64)>, Failure> {
    let codes: Vec<_> =
        [&report.currency].into_iter().chain(currencies).map(|code| code.to_lowercase()).collect();
    let request = request(ask, "/api/v3/simple/price").query(&[
        ("ids", FOR_RATES),
        ("vs_currencies", &codes.join(",")),
        ("precision", "full"),
    ]);
    let answer = answer(ask, request).await?;
    decode_rates(answer.json(ask.now)?, &report.currency, currencies)
}

fn request(ask: Ask<'_>, path: &str) -> RequestBuilder {
    let settings = &ask.settings.coingecko;
    let request = ask.upstream.get(&format!("{}{path}", settings.url));
    let header = if ask.settings.coingecko_pro { "x-cg-pro-api-key" } else { "x-cg-demo-api-key" };
    match &settings.key {
        Some(key) => request.header(header, key.expose()),
        None => request,
    }
}

async fn answer(ask: Ask<'_>, request: RequestBuilder) -> Result<Answer, Failure> {
    let answer = ask.upstream.send(request).await?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let failure = decode_error(&answer.body).unwrap_or_else(|| answer.refusal(ask.now));
    Err(answer.hinted(failure, ask.now))
}

#[derive(Deserialize)]
struct Row {
    id: String,
    symbol: String,
    name: String,
    market_cap_rank: Option<i32>,
    current_price: Option<f64>,
    total_volume: Option<f64>,
    market_cap: Option<f64>,
    price_change_percentage_1h_in_currency: Option<f64>,
    price_change_percentage_24h_in_currency: Option<f64>,
    price_change_percentage_7d_in_currency: Option<f64>,
    price_change_percentage_24h: Option<f64>,
    last_updated: Option<DateTime<Utc>>,
}

fn decode(body: &[u8], currency: &str, count: u32, now: DateTime<Utc>) -> Result<Report, Failure> {
    let Readable::<Row> { items: rows, .. } = serde_json::from_slice(body)
        .map_err(|error| decode_error(body).unwrap_or_else(|| Failure::garbage(error)))?;
    let stated = rows.iter().filter_map(|row| row.last_updated).max();
    let listings = rows.into_iter().map(|row| Listing {
        slug: row.id.clone(),
        provider_coin_id: row.id,
        symbol: row.symbol.to_uppercase(),
        name: row.name,
        rank: row.market_cap_rank,
        price: row.current_price,
        volume_24h: row.total_volume,
        volume_change_24h: None,
        percent_change_1h: row.price_change_percentage_1h_in_currency,
        percent_change_24h: row.price_change_percentage_24h_in_currency.or(row.price_change_percentage_24h),
        percent_change_7d: row.price_change_percentage_7d_in_currency,
        market_cap: row.market_cap,
    });
    listing::report(listings, currency, count, stated, now)
}

fn decode_rates(body: &[u8], base: &str, currencies: &[String]) -> Result<Vec<(String, f64)>, Failure> {
    let prices: HashMap<String, HashMap<String, Option<f64>>> =
        serde_json::from_slice(body).map_err(Failure::garbage)?;
    let price = |currency: &str| *prices.get(FOR_RATES)?.get(&currency.to_lowercase())?;
    let base = price(base).ok_or_else(|| Failure::garbage("no price of bitcoin"))?;
    let rate = |currency: &String| Some((currency.clone(), price(currency)? / base));
    Ok(currencies.iter().filter_map(rate).collect())
}

/// An error in one of the provider's three shapes.
fn decode_error(body: &[u8]) -> Option<Failure> {
    #[derive(Deserialize)]
    struct Error {
        status: Option<Status>,
        error: Option<Text>,
    }
    #[derive(Deserialize)]
    struct Status {
        error_code: i64,
        #[serde(default)]
        error_message: String,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Plain(String),
        Nested { status: Status },
    }
    let error: Error = serde_json::from_slice(body).ok()?;
    let status = match (error.status, error.error) {
        (Some(status), _) | (None, Some(Text::Nested { status })) => status,
        (None, Some(Text::Plain(text))) => return Some(Failure::new(Advice::BackOff, text)),
        (None, None) => return None,
    };
    // Codes: the table "Common Errors & Rate Limit" of the documentation.
    let advice = match status.error_code {
        429 => Advice::After(Duration::from_mins(1)),
        401 | 10002 | 10005 | 10010 | 10011 => Advice::Stop,
        _ => Advice::BackOff,
    };
    Some(Failure::new(advice, format!("error {}: {}", status.error_code, status.error_message)))
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn the_fields_arrive() {
        let report =
            decode(&fixture("coingecko_markets_gbp"), "GBP", 20, DateTime::<Utc>::MAX_UTC).expect("report");
        assert_eq!(report.entries.len(), 20);
        assert_eq!(report.as_of.to_rfc3339(), "2026-11-20T09:59:12+00:00");
        let bitcoin = &report.entries[0];
        assert_eq!(bitcoin.provider_coin_id, "bitcoin");
        let coin = &bitcoin.coin;
        assert_eq!((coin.symbol.as_str(), coin.name.as_str(), coin.rank), ("BTC", "Bitcoin", 1));
        assert_eq!((coin.price, coin.volume_24h), (Some(70211.4421), Some(112_536_391_041.0)));
        assert_eq!(
            (coin.percent_change_1h, coin.percent_change_24h),
            (Some(-0.674_912_04), Some(-3.875_049_67))
        );
        assert_eq!((coin.volume_change_24h, coin.percent_change_7d), (None, None));
        assert_eq!(coin.market_cap, Some(1_400_804_910_815.0));
    }

    #[test]
    fn each_error_has_its_own_advice() {
        for (name, advice) in [
            ("error_400", Advice::BackOff),
            ("error_401_10002", Advice::Stop),
            ("error_404", Advice::BackOff),
            ("error_429", Advice::After(Duration::from_mins(1))),
        ] {
            let failure = decode_error(&fixture(&format!("coingecko_{name}"))).expect(name);
            assert_eq!(failure.advice, advice, "{name}");
        }
        let nested = decode_error(br#"{"error":{"status":{"error_code":10010,"error_message":"x"}}}"#);
        assert_eq!(nested.expect("a failure").advice, Advice::Stop);
        assert_eq!(decode_error(b"<html>"), None);
    }

    #[test]
    fn rates_are_ratios_of_one_price() {
        let codes = ["USD".to_owned(), "EUR".to_owned(), "XXX".to_owned()];
        let rates = |body: &str| decode_rates(body.as_bytes(), "GBP", &codes);
        assert_eq!(
            rates(r#"{"bitcoin":{"gbp":100.0,"usd":130,"eur":115.0,"xxx":null}}"#),
            Ok(vec![("USD".to_owned(), 1.3), ("EUR".to_owned(), 1.15)])
        );
        for bad in ["{}", "[]", r#"{"bitcoin":{"usd":1}}"#, r#"{"bitcoin":{"gbp":null}}"#] {
            assert!(rates(bad).is_err(), "{bad}");
        }
    }
}
