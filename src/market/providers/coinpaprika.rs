//! Reads CoinPaprika, `GET /v1/tickers`, without a key, for non-commercial use.
//!
//! Source: the provider's API documentation (api.coinpaprika.com). An answer lists every coin (2 to 3 MB); the top ones are
//! kept. The free plan allows 20,000 calls a month and three currencies per call. Rates come from bitcoin's ticker, and the
//! past of a coin from `/v1/tickers/{id}/historical`.

mod global;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde::Deserialize;

use super::{
    super::{
        currency::change_of_rate,
        model::{Numbers, Profile, RateChanges, Report},
        store::Step,
    },
    Call, Catalogue, CatalogueCoin, Global, Past, PastValue, Provider, Rates, collect_rates, in_path,
    listing::{self, Listing, Wanted},
};
use crate::{
    config::{ProviderSpec, UrlSpec},
    upstream::{Advice, Answer, Failure, Readable},
};

/// Currencies of a call, beside the report's own.
const CURRENCIES_PER_CALL: usize = 2;

static SPEC: ProviderSpec = ProviderSpec {
    name: "coinpaprika",
    url: Some(UrlSpec { setting: "COINPAPRIKA_URL", default: "https://api.coinpaprika.com" }),
    key: None,
    daily_budget: None,
    monthly_budget: None,
    stands_in_for: None,
};

pub struct CoinPaprika;

#[async_trait(?Send)]
impl Provider for CoinPaprika {
    fn spec(&self) -> &'static ProviderSpec {
        &SPEC
    }

    fn id_namespace(&self) -> &'static str {
        "coinpaprika"
    }

    fn attribution(&self) -> Option<&'static str> {
        Some("Data provided by CoinPaprika (https://coinpaprika.com)")
    }

    async fn report(&self, call: Call<'_>) -> Result<Report, Failure> {
        let answer = get(call, "/v1/tickers", &[("quotes", call.currency)]).await?;
        decode(answer.json(call.now)?, call.currency, call.wanted(), call.now)
    }

    async fn rates(&self, call: Call<'_>, report: &Report, currencies: &[String]) -> Result<Rates, Failure> {
        collect_rates(currencies.chunks(CURRENCIES_PER_CALL), async |part| {
            match read_rates(call, &report.currency, part).await {
                // One code that it does not know refuses the whole call.
                Err(failure) if failure.advice == Advice::BackOff && part.len() > 1 => {
                    collect_rates(part.chunks(1), async |one| read_rates(call, &report.currency, one).await)
                        .await
                }
                result => result,
            }
        })
        .await
    }

    fn cost_of_rates(&self, currencies: usize) -> usize {
        // If every call is refused, each currency takes one of its own.
        let alone = if currencies > 1 { currencies } else { 0 };
        currencies.div_ceil(CURRENCIES_PER_CALL) + alone
    }

    fn catalogue(&self) -> Option<&'static dyn Catalogue> {
        Some(&CoinPaprika)
    }

    fn global(&self) -> Option<&dyn Global> {
        Some(self)
    }

    fn past(&self) -> Option<&'static dyn Past> {
        Some(&CoinPaprika)
    }
}

#[async_trait(?Send)]
impl Catalogue for CoinPaprika {
    /// The coins with a price: its list of names also has coins that are not traded any more.
    async fn read(&self, call: Call<'_>) -> Result<Vec<CatalogueCoin>, Failure> {
        let answer = get(call, "/v1/tickers", &[("quotes", call.currency)]).await?;
        let rows: Readable<Row> =
            serde_json::from_slice(answer.json(call.now)?).map_err(Failure::unexpected_body)?;
        listing::build_catalogue(rows.items.into_iter().filter_map(|row| {
            let slug = slug(&row.id)?.to_owned();
            let Row { id, symbol, name, rank, .. } = row;
            Some(CatalogueCoin { provider_coin_id: id, symbol, name, slug, rank })
        }))
    }
}

#[async_trait(?Send)]
impl Past for CoinPaprika {
    /// Its free history is in dollars, a year in days.
    fn steps(&self, currency: &str) -> &'static [Step] {
        if currency == "USD" { &[Step::Day] } else { &[] }
    }

    async fn read(&self, call: Call<'_>, coin: &str, _: Step) -> Result<Vec<PastValue>, Failure> {
        // Refused if it is a minute more than a year ago.
        let start = (call.now - TimeDelta::days(364)).date_naive().to_string();
        let query = [("start", start.as_str()), ("interval", "1d"), ("limit", "400"), ("quote", "usd")];
        let answer = get(call, &format!("/v1/tickers/{}/historical", in_path(coin)?), &query).await?;
        decode_past(answer.json(call.now)?)
    }
}

async fn read_rates(call: Call<'_>, base: &str, currencies: &[String]) -> Result<Rates, Failure> {
    let quotes = format!("{base},{}", currencies.join(","));
    let answer = get(call, "/v1/tickers/btc-bitcoin", &[("quotes", &quotes)]).await?;
    decode_rates(answer.json(call.now)?, call, base, currencies)
}

async fn get(call: Call<'_>, path: &str, query: &[(&str, &str)]) -> Result<Answer, Failure> {
    call.charge(1);
    let url = format!("{}{path}", call.settings.url);
    let answer = call.upstream.send(call.upstream.get(&url).query(query)).await?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let advice = match answer.status.as_u16() {
        // The calls of the month are used up.
        402 => Advice::NextDay,
        429 => Advice::After(Duration::from_mins(1)),
        _ => Advice::BackOff,
    };
    let failure = decode_error(&answer.body).map(|text| Failure::new(advice, text));
    let failure = failure.unwrap_or_else(|| answer.refusal(call.now));
    let isolated = failure.isolated || answer.status == StatusCode::NOT_FOUND;
    Err(answer.add_retry_after(Failure { isolated, ..failure }, call.now))
}

#[derive(Deserialize)]
struct Row {
    id: String,
    symbol: String,
    name: String,
    rank: Option<i32>,
    #[serde(default, deserialize_with = "listing::optional")]
    circulating_supply: Option<f64>,
    /// 0 for no limit.
    #[serde(default, deserialize_with = "listing::optional")]
    max_supply: Option<f64>,
    #[serde(default, deserialize_with = "listing::time")]
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
    #[serde(default, deserialize_with = "listing::optional")]
    percent_change_30d: Option<f64>,
    market_cap: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    ath_price: Option<f64>,
    #[serde(default, deserialize_with = "listing::time")]
    ath_date: Option<DateTime<Utc>>,
}

fn decode(body: &[u8], currency: &str, wanted: Wanted, now: DateTime<Utc>) -> Result<Report, Failure> {
    let Readable::<Row> { items: mut rows, .. } =
        serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let top = 1..=i64::from(wanted.count);
    rows.retain(|row| {
        row.rank.is_some_and(|rank| top.contains(&i64::from(rank))) || wanted.followed.contains(&row.id)
    });
    let listings = rows.into_iter().filter_map(|mut row| {
        let quote = row.quotes.remove(currency)?;
        listing(row, &quote)
    });
    listing::build_report(listings, currency, wanted, None, now)
}

/// Returns the slug that the other providers use: the id is the symbol, a hyphen and that.
fn slug(id: &str) -> Option<&str> {
    id.split_once('-').map(|(_, slug)| slug)
}

fn listing(row: Row, quote: &Quote) -> Option<Listing> {
    Some(Listing {
        slug: slug(&row.id)?.to_owned(),
        symbol: row.symbol,
        name: row.name,
        rank: row.rank,
        profile: Profile { image: image(&row.id), tags: None },
        numbers: Numbers {
            price: quote.price,
            volume_24h: quote.volume_24h,
            volume_change_24h: quote.volume_24h_change_24h,
            percent_change_1h: quote.percent_change_1h,
            percent_change_24h: quote.percent_change_24h,
            percent_change_7d: quote.percent_change_7d,
            percent_change_30d: quote.percent_change_30d,
            market_cap: quote.market_cap,
            circulating_supply: row.circulating_supply,
            max_supply: row.max_supply,
            ath: quote.ath_price,
            ath_at: quote.ath_date,
            // Its answer has no range of the day.
            high_24h: None,
            low_24h: None,
        },
        updated_at: row.last_updated,
        provider_coin_id: row.id,
    })
}

/// The address of a logo, as the documentation states it.
fn image(id: &str) -> Option<String> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let address = format!("https://static.coinpaprika.com/coin/{id}/logo.png");
    is_plain.then(|| listing::image(&address, "coinpaprika.com")).flatten()
}

fn decode_rates(body: &[u8], call: Call<'_>, base: &str, currencies: &[String]) -> Result<Rates, Failure> {
    let row: Row = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let quote = |currency: &str| row.quotes.get(currency).and_then(|quote| Some((quote.price?, quote)));
    let (unit, base) = quote(base).ok_or_else(|| Failure::unexpected_body("no price of bitcoin"))?;
    let rate = |currency: &String| {
        let (price, other) = quote(currency)?;
        let changes = RateChanges {
            hour: change_of_rate(base.percent_change_1h, other.percent_change_1h),
            day: change_of_rate(base.percent_change_24h, other.percent_change_24h),
            week: change_of_rate(base.percent_change_7d, other.percent_change_7d),
            month: change_of_rate(base.percent_change_30d, other.percent_change_30d),
        };
        Some(call.rate(currency, price / unit, changes))
    };
    Ok(currencies.iter().filter_map(rate).collect())
}

fn decode_past(body: &[u8]) -> Result<Vec<PastValue>, Failure> {
    #[derive(Deserialize)]
    struct Tick {
        timestamp: DateTime<Utc>,
        price: Option<f64>,
        volume_24h: Option<f64>,
        market_cap: Option<f64>,
    }
    let ticks: Readable<Tick> = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let value =
        |tick: &Tick| listing::past_value(tick.timestamp, tick.price, tick.volume_24h, tick.market_cap);
    Ok(ticks.items.iter().filter_map(value).collect())
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
    use super::{
        super::{fixture, with_call},
        *,
    };

    #[test]
    fn the_fields_arrive() {
        let report =
            decode(&fixture("coinpaprika_tickers_gbp"), "GBP", Wanted::top(20), DateTime::<Utc>::MAX_UTC)
                .expect("report");
        assert_eq!(report.entries.len(), 20);
        assert_eq!(report.as_of.to_rfc3339(), "2026-11-20T09:56:00+00:00");
        let bitcoin = &report.entries[0];
        assert_eq!(bitcoin.provider_coin_id, "btc-bitcoin");
        let (coin, numbers) = (bitcoin, &bitcoin.numbers);
        assert_eq!((coin.symbol.as_str(), coin.slug.as_str(), coin.rank), ("BTC", "bitcoin", 1));
        assert_eq!((numbers.price, numbers.volume_change_24h), (Some(70211.4421), Some(-37.9991)));
        assert_eq!((numbers.percent_change_1h, numbers.percent_change_7d), (Some(-0.67), Some(3.18)));
        assert_eq!((numbers.percent_change_30d, numbers.max_supply), (Some(0.0), Some(21e6)));
        assert_eq!(
            (numbers.ath, numbers.high_24h, numbers.circulating_supply),
            (Some(98_296.018_94), None, None)
        );
        let image = "https://static.coinpaprika.com/coin/btc-bitcoin/logo.png";
        assert_eq!(coin.profile.image.as_deref(), Some(image));
        assert_eq!(report.entries[1].numbers.max_supply, None, "0 means no limit");
        assert_eq!(super::image("x/../y"), None);
    }

    #[test]
    fn the_past_is_read_tick_by_tick() {
        let body = br#"[{"timestamp":"2026-11-19T00:00:00Z","price":1.5,"volume_24h":7,"market_cap":10},
            {"timestamp":"yesterday","price":1},{"timestamp":"2026-11-20T00:00:00Z","price":0}, 3]"#;
        let found = decode_past(body).expect("ticks");
        let at = "2026-11-19T00:00:00Z".parse().expect("time");
        assert_eq!(found, [PastValue { at, price: 1.5, volume_24h: Some(7.0), market_cap: Some(10.0) }]);
        assert!(decode_past(br#"{"error":"id not found"}"#).is_err());
        assert!(CoinPaprika.steps("GBP").is_empty() && CoinPaprika.steps("USD") == [Step::Day]);
        for bad in ["", ".", "..", "a/b", "a?b", "a%2fb", "\u{e9}"] {
            assert!(in_path(bad).is_err(), "{bad}");
        }
        assert_eq!(in_path("btc-bitcoin"), Ok("btc-bitcoin"));
    }

    #[test]
    fn only_the_top_is_kept() {
        let text = String::from_utf8(fixture("coinpaprika_tickers_gbp")).expect("UTF-8");
        // Coins that are not traded any more have rank 0.
        let text = text.replacen("\"rank\": 3,", "\"rank\": 0,", 1);
        let report =
            decode(text.as_bytes(), "GBP", Wanted::top(5), DateTime::<Utc>::MAX_UTC).expect("report");
        let ranks: Vec<_> = report.entries.iter().map(|entry| entry.rank).collect();
        assert_eq!(ranks, [1, 2, 4, 5]);
    }

    #[test]
    fn rates_are_ratios_of_one_price() {
        let body = br#"{"id":"btc-bitcoin","symbol":"BTC","name":"Bitcoin","rank":1,
            "quotes":{"GBP":{"price":100,"percent_change_1h":0},"USD":{"price":130,"percent_change_1h":2}}}"#;
        let codes = ["USD".to_owned(), "XXX".to_owned()];
        with_call("GBP", |call| {
            let rates = decode_rates(body, call, "GBP", &codes).expect("rates");
            assert_eq!((rates.len(), rates[0].currency.as_str(), rates[0].units), (1, "USD", 1.3));
            let changes = rates[0].changes;
            assert!((changes.hour.expect("a change") - 2.0).abs() < 1e-9 && changes.week.is_none());
            assert!(decode_rates(body, call, "EUR", &codes).is_err());
            assert!(decode_rates(b"{}", call, "GBP", &codes).is_err());
        });
    }
}
