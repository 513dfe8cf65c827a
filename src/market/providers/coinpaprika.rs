//! CoinPaprika, `GET /v1/tickers`; without a key, for use that is not commercial.
//!
//! Source: the provider's API documentation (api.coinpaprika.com). Every coin comes (2 to 3 MB),
//! and the top is kept. The free plan has 20,000 calls a month and quotes at most three currencies
//! in a call; rates come from bitcoin's ticker.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{
    super::model::Report,
    Ask,
    listing::{self, Listing},
};
use crate::upstream::{Advice, Answer, Failure, Readable};

/// Beside the report's own.
pub const CURRENCIES_A_CALL: usize = 2;

pub async fn report(ask: Ask<'_>) -> Result<Report, Failure> {
    let currency = &ask.settings.currencies[0];
    let answer = get(ask, "/v1/tickers", currency).await?;
    decode(answer.json(ask.now)?, currency, ask.settings.count, ask.now)
}

pub async fn rates(
    ask: Ask<'_>,
    report: &Report,
    currencies: &[String],
) -> Result<Vec<(String, f64)>, Failure> {
    let (mut rates, mut refused) = (Vec::new(), None);
    for some in currencies.chunks(CURRENCIES_A_CALL) {
        match some_rates(ask, &report.currency, some).await {
            Ok(read) => rates.extend(read),
            // A currency that it does not have must not cost us all of the others.
            Err(failure) if failure.advice == Advice::BackOff => refused = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    match refused {
        Some(failure) if rates.is_empty() => Err(failure),
        _ => Ok(rates),
    }
}

async fn some_rates(ask: Ask<'_>, base: &str, some: &[String]) -> Result<Vec<(String, f64)>, Failure> {
    let answer = get(ask, "/v1/tickers/btc-bitcoin", &format!("{base},{}", some.join(","))).await?;
    decode_rates(answer.json(ask.now)?, base, some)
}

async fn get(ask: Ask<'_>, path: &str, quotes: &str) -> Result<Answer, Failure> {
    let url = format!("{}{path}", ask.settings.coinpaprika.url);
    let answer = ask.upstream.send(ask.upstream.get(&url).query(&[("quotes", quotes)])).await?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let advice = match answer.status.as_u16() {
        // The month's calls are used up.
        402 => Advice::NextDay,
        429 => Advice::After(Duration::from_mins(1)),
        _ => Advice::BackOff,
    };
    let failure = decode_error(&answer.body).map(|text| Failure::new(advice, text));
    Err(answer.hinted(failure.unwrap_or_else(|| answer.refusal(ask.now)), ask.now))
}

#[derive(Deserialize)]
struct Row {
    id: String,
    symbol: String,
    name: String,
    rank: Option<i32>,
    last_updated: Option<DateTime<Utc>>,
    quotes: HashMap<String, Quote>,
}

#[derive(Deserialize)]
struct Quote {
    price: Option<f64>,
    volume_24h: Option<f64>,
    volume_24h_change_24h: Option<f64>,
    percent_change_1h: Option<f64>,
    percent_change_24h: Option<f64>,
    percent_change_7d: Option<f64>,
    market_cap: Option<f64>,
}

fn decode(body: &[u8], currency: &str, count: u32, now: DateTime<Utc>) -> Result<Report, Failure> {
    let Readable::<Row> { items: mut rows, .. } = serde_json::from_slice(body).map_err(Failure::garbage)?;
    rows.retain(|row| row.rank.is_some_and(|rank| (1..=i64::from(count)).contains(&i64::from(rank))));
    let stated = rows.iter().filter_map(|row| row.last_updated).max();
    let listings = rows.into_iter().filter_map(|mut row| {
        let quote = row.quotes.remove(currency)?;
        listing(row, &quote)
    });
    listing::report(listings, currency, count, stated, now)
}

fn listing(row: Row, quote: &Quote) -> Option<Listing> {
    // The id is the symbol, a hyphen and what the others have for a slug.
    let (_, slug) = row.id.split_once('-')?;
    Some(Listing {
        slug: slug.to_owned(),
        symbol: row.symbol,
        name: row.name,
        rank: row.rank,
        price: quote.price,
        volume_24h: quote.volume_24h,
        volume_change_24h: quote.volume_24h_change_24h,
        percent_change_1h: quote.percent_change_1h,
        percent_change_24h: quote.percent_change_24h,
        percent_change_7d: quote.percent_change_7d,
        market_cap: quote.market_cap,
        provider_coin_id: row.id,
    })
}

fn decode_rates(body: &[u8], base: &str, currencies: &[String]) -> Result<Vec<(String, f64)>, Failure> {
    let row: Row = serde_json::from_slice(body).map_err(Failure::garbage)?;
    let price = |currency: &str| row.quotes.get(currency)?.price;
    let base = price(base).ok_or_else(|| Failure::garbage("no price of bitcoin"))?;
    let rate = |currency: &String| Some((currency.clone(), price(currency)? / base));
    Ok(currencies.iter().filter_map(rate).collect())
}

fn decode_error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Error {
        error: String,
    }
    serde_json::from_slice::<Error>(body).ok().map(|body| body.error)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn the_fields_arrive() {
        let report =
            decode(&fixture("coinpaprika_tickers_gbp"), "GBP", 20, DateTime::<Utc>::MAX_UTC).expect("report");
        assert_eq!(report.entries.len(), 20);
        assert_eq!(report.as_of.to_rfc3339(), "2026-11-20T09:56:00+00:00");
        let bitcoin = &report.entries[0];
        assert_eq!(bitcoin.provider_coin_id, "btc-bitcoin");
        let coin = &bitcoin.coin;
        assert_eq!((coin.symbol.as_str(), coin.slug.as_str(), coin.rank), ("BTC", "bitcoin", 1));
        assert_eq!((coin.price, coin.volume_change_24h), (Some(70211.4421), Some(-37.9991)));
        assert_eq!((coin.percent_change_1h, coin.percent_change_7d), (Some(-0.67), Some(3.18)));
    }

    #[test]
    fn only_the_top_is_kept() {
        let text = String::from_utf8(fixture("coinpaprika_tickers_gbp")).expect("UTF-8");
        // Coins that are not traded any more have rank 0.
        let text = text.replacen("\"rank\": 3,", "\"rank\": 0,", 1);
        let report = decode(text.as_bytes(), "GBP", 5, DateTime::<Utc>::MAX_UTC).expect("report");
        let ranks: Vec<_> = report.entries.iter().map(|entry| entry.coin.rank).collect();
        assert_eq!(ranks, [1, 2, 4, 5]);
    }

    #[test]
    fn rates_are_ratios_of_one_price() {
        let body = br#"{"id":"btc-bitcoin","symbol":"BTC","name":"Bitcoin","rank":1,
            "quotes":{"GBP":{"price":100},"USD":{"price":130}}}"#;
        let codes = ["USD".to_owned(), "XXX".to_owned()];
        assert_eq!(decode_rates(body, "GBP", &codes), Ok(vec![("USD".to_owned(), 1.3)]));
        assert!(decode_rates(body, "EUR", &codes).is_err());
        assert!(decode_rates(b"{}", "GBP", &codes).is_err());
    }
}
