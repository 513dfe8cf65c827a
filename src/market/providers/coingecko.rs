//! Reads CoinGecko, `GET /api/v3/coins/markets`; without a key, with a demo key or with a paid one.
//!
//! Source: the provider's API documentation (docs.coingecko.com). A demo key allows 10,000 calls a month; without a key
//! calls are limited by address. There is no `volume_change_24h`: that comes from our own history. Rates come from
//! `/simple/price`, in one call for all currencies, and the past of a coin from `/coins/{id}/market_chart`: at most 365 days
//! without a paid plan.

mod global;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use super::{
    super::{
        currency::change_of_rate,
        model::{Numbers, Profile, RateChanges, Report},
        store::Step,
    },
    Call, Catalogue, CatalogueCoin, Global, Past, PastValue, Provider, Rates, in_path,
    listing::{self, Listing, Wanted},
};
use crate::{
    config::{KeySpec, PlanSpec, ProviderSpec, UrlSpec},
    upstream::{Advice, Answer, Failure, MAX_BODY_SIZE, Readable},
};

/// The coin whose prices give the rates between currencies: it has a price in every currency.
const COIN_FOR_RATES: &str = "bitcoin";

/// In bytes; 90 days in hours have about 250 kB.
const MAX_PAST_SIZE: usize = 1024 * 1024;
/// Of its logos.
const DOMAIN: &str = "coingecko.com";

static SPEC: ProviderSpec = ProviderSpec {
    name: "coingecko",
    url: Some(UrlSpec { setting: "COINGECKO_URL", default: "https://api.coingecko.com" }),
    key: Some(KeySpec {
        setting: "COINGECKO_API_KEY",
        is_required: false,
        plan: Some(PlanSpec {
            setting: "COINGECKO_PLAN",
            free: "demo",
            paid: "pro",
            paid_url: "https://pro-api.coingecko.com",
        }),
    }),
    daily_budget: Some("COINGECKO_DAILY_CALLS"),
    monthly_budget: None,
    stands_in_for: None,
};

/// In bytes. Servers refuse addresses of more than 8 KB.
const MAX_IDS_LEN: usize = 6000;

pub struct CoinGecko;

#[async_trait(?Send)]
impl Provider for CoinGecko {
    fn spec(&self) -> &'static ProviderSpec {
        &SPEC
    }

    fn id_namespace(&self) -> &'static str {
        "coingecko"
    }

    fn attribution(&self) -> Option<&'static str> {
        Some("Data provided by CoinGecko (https://www.coingecko.com)")
    }

    async fn report(&self, call: Call<'_>) -> Result<Report, Failure> {
        let mut rows = markets(call, &[("per_page", &call.count.to_string())]).await?;
        if !call.followed.is_empty() {
            let ids = fitting(call.followed);
            let query = [("ids", ids.join(",")), ("per_page", ids.len().to_string())];
            match markets(call, &query.each_ref().map(|(name, value)| (*name, value.as_str()))).await {
                Ok(followed) => rows.extend(followed),
                Err(failure) => tracing::debug!(%failure, "cannot read the followed coins"),
            }
        }
        build(rows, call.currency, call.wanted(), call.now)
    }

    async fn rates(&self, call: Call<'_>, report: &Report, currencies: &[String]) -> Result<Rates, Failure> {
        let codes: Vec<_> =
            [&report.currency].into_iter().chain(currencies).map(|code| code.to_lowercase()).collect();
        let request = request(call, "/api/v3/simple/price").query(&[
            ("ids", COIN_FOR_RATES),
            ("vs_currencies", &codes.join(",")),
            ("include_24hr_change", "true"),
            ("precision", "full"),
        ]);
        let answer = answer(call, request).await?;
        decode_rates(answer.json(call.now)?, call, &report.currency, currencies)
    }

    fn cost_of_rates(&self, _: usize) -> usize {
        1
    }

    fn catalogue(&self) -> Option<&'static dyn Catalogue> {
        Some(&CoinGecko)
    }

    fn global(&self) -> Option<&dyn Global> {
        Some(self)
    }

    fn past(&self) -> Option<&'static dyn Past> {
        Some(&CoinGecko)
    }
}

#[async_trait(?Send)]
impl Past for CoinGecko {
    fn steps(&self, _: &str) -> &'static [Step] {
        &[Step::Day, Step::Hour]
    }

    async fn read(&self, call: Call<'_>, coin: &str, step: Step) -> Result<Vec<PastValue>, Failure> {
        // Up to 90 days come as hours, more as days.
        let days = if step == Step::Hour { "90" } else { "365" };
        let path = format!("/api/v3/coins/{}/market_chart", in_path(coin)?);
        let currency = call.currency.to_lowercase();
        let request = request(call, &path).query(&[("vs_currency", currency.as_str()), ("days", days)]);
        decode_past(answer_within(call, request, MAX_PAST_SIZE).await?.json(call.now)?)
    }
}

#[async_trait(?Send)]
impl Catalogue for CoinGecko {
    /// Without ranks.
    async fn read(&self, call: Call<'_>) -> Result<Vec<CatalogueCoin>, Failure> {
        let answer = answer(call, request(call, "/api/v3/coins/list")).await?;
        let body = answer.json(call.now)?;
        let names: Readable<CoinName> = serde_json::from_slice(body)
            .map_err(|error| decode_error(body).unwrap_or_else(|| Failure::unexpected_body(error)))?;
        listing::build_catalogue(names.items.into_iter().map(CatalogueCoin::from))
    }
}

/// Returns the first ids that fit into an address.
fn fitting(ids: &[String]) -> &[String] {
    let mut length = 0;
    let count = ids.iter().take_while(|id| {
        // A comma takes three bytes.
        length += id.len() + 3;
        length <= MAX_IDS_LEN
    });
    &ids[..count.count()]
}

async fn markets(call: Call<'_>, which: &[(&str, &str)]) -> Result<Vec<Row>, Failure> {
    let request = request(call, "/api/v3/coins/markets")
        .query(&[("vs_currency", call.currency.to_lowercase())])
        .query(which)
        .query(&[
            ("order", "market_cap_desc"),
            ("page", "1"),
            ("sparkline", "false"),
            ("price_change_percentage", "1h,24h,7d,30d"),
        ]);
    decode(answer(call, request).await?.json(call.now)?)
}

fn request(call: Call<'_>, path: &str) -> RequestBuilder {
    let request = call.upstream.get(&format!("{}{path}", call.settings.url));
    let header = if call.settings.has_paid_plan { "x-cg-pro-api-key" } else { "x-cg-demo-api-key" };
    match &call.settings.key {
        Some(key) => request.header(header, key.expose()),
        None => request,
    }
}

async fn answer(call: Call<'_>, request: RequestBuilder) -> Result<Answer, Failure> {
    answer_within(call, request, MAX_BODY_SIZE).await
}

/// As [`answer`], with a limit for the body.
async fn answer_within(call: Call<'_>, request: RequestBuilder, max_body: usize) -> Result<Answer, Failure> {
    call.charge(1);
    let answer = call.upstream.send_bounded(request, max_body).await?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let failure = decode_error(&answer.body).unwrap_or_else(|| answer.refusal(call.now));
    let isolated = failure.isolated || answer.status == StatusCode::NOT_FOUND;
    Err(answer.add_retry_after(Failure { isolated, ..failure }, call.now))
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
    #[serde(default, deserialize_with = "listing::optional")]
    price_change_percentage_30d_in_currency: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    circulating_supply: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    max_supply: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    high_24h: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    low_24h: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    ath: Option<f64>,
    #[serde(default, deserialize_with = "listing::time")]
    ath_date: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "listing::optional")]
    image: Option<String>,
    #[serde(default, deserialize_with = "listing::time")]
    last_updated: Option<DateTime<Utc>>,
}

fn decode(body: &[u8]) -> Result<Vec<Row>, Failure> {
    let rows: Readable<Row> = serde_json::from_slice(body)
        .map_err(|error| decode_error(body).unwrap_or_else(|| Failure::unexpected_body(error)))?;
    Ok(rows.items)
}

fn build(rows: Vec<Row>, currency: &str, wanted: Wanted, now: DateTime<Utc>) -> Result<Report, Failure> {
    let listings = rows.into_iter().map(|row| Listing {
        slug: row.id.clone(),
        provider_coin_id: row.id,
        symbol: row.symbol.to_uppercase(),
        name: row.name,
        rank: row.market_cap_rank,
        profile: Profile { image: row.image.and_then(|image| listing::image(&image, DOMAIN)), tags: None },
        numbers: Numbers {
            price: row.current_price,
            volume_24h: row.total_volume,
            volume_change_24h: None,
            percent_change_1h: row.price_change_percentage_1h_in_currency,
            percent_change_24h: row
                .price_change_percentage_24h_in_currency
                .or(row.price_change_percentage_24h),
            percent_change_7d: row.price_change_percentage_7d_in_currency,
            percent_change_30d: row.price_change_percentage_30d_in_currency,
            market_cap: row.market_cap,
            circulating_supply: row.circulating_supply,
            max_supply: row.max_supply,
            high_24h: row.high_24h,
            low_24h: row.low_24h,
            ath: row.ath,
            ath_at: row.ath_date,
        },
        updated_at: row.last_updated,
    });
    listing::build_report(listings, currency, wanted, None, now)
}

#[derive(Deserialize)]
struct CoinName {
    id: String,
    symbol: String,
    name: String,
}

impl From<CoinName> for CatalogueCoin {
    fn from(CoinName { id, symbol, name }: CoinName) -> Self {
        Self { slug: id.clone(), provider_coin_id: id, symbol: symbol.to_uppercase(), name, rank: None }
    }
}

/// Reads units of each currency for one of the base, with the change within 24 hours.
fn decode_rates(body: &[u8], call: Call<'_>, base: &str, currencies: &[String]) -> Result<Rates, Failure> {
    let numbers: HashMap<String, HashMap<String, Option<f64>>> =
        serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let number = |name: String| *numbers.get(COIN_FOR_RATES)?.get(&name)?;
    let price = |currency: &str| number(currency.to_lowercase());
    let change = |currency: &str| number(format!("{}_24h_change", currency.to_lowercase()));
    let unit = price(base).ok_or_else(|| Failure::unexpected_body("no price of bitcoin"))?;
    let rate = |currency: &String| {
        let day = change_of_rate(change(base), change(currency));
        Some(call.rate(currency, price(currency)? / unit, RateChanges { day, ..RateChanges::default() }))
    };
    Ok(currencies.iter().filter_map(rate).collect())
}

/// Reads the three lists of a chart, which have a pair of a time in milliseconds and a number for each point.
fn decode_past(body: &[u8]) -> Result<Vec<PastValue>, Failure> {
    #[derive(Deserialize)]
    struct Chart {
        prices: Readable<(i64, Option<f64>)>,
        #[serde(default)]
        market_caps: Readable<(i64, Option<f64>)>,
        #[serde(default)]
        total_volumes: Readable<(i64, Option<f64>)>,
    }
    let chart: Chart = serde_json::from_slice(body)
        .map_err(|error| decode_error(body).unwrap_or_else(|| Failure::unexpected_body(error)))?;
    let by_time = |list: Readable<(i64, Option<f64>)>| list.items.into_iter().collect::<HashMap<_, _>>();
    let (volumes, caps) = (by_time(chart.total_volumes), by_time(chart.market_caps));
    let other = |numbers: &HashMap<i64, Option<f64>>, at: i64| numbers.get(&at).copied().flatten();
    let value = |(millis, price): (i64, Option<f64>)| {
        let at = DateTime::from_timestamp_millis(millis)?;
        listing::past_value(at, price, other(&volumes, millis), other(&caps, millis))
    };
    Ok(chart.prices.items.into_iter().filter_map(value).collect())
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
    use super::{
        super::{ReadRate, fixture, with_call},
        *,
    };

    #[test]
    fn ids_that_are_too_long_for_an_address_are_left_out() {
        let ids: Vec<String> = (0..250).map(|number| format!("{number:0>97}")).collect();
        assert_eq!(fitting(&ids).len(), 60);
        assert_eq!(fitting(&ids[..3]).len(), 3);
    }

    #[test]
    fn the_fields_arrive() {
        let rows = decode(&fixture("coingecko_markets_gbp")).expect("rows");
        let report = build(rows, "GBP", Wanted::top(20), DateTime::<Utc>::MAX_UTC).expect("report");
        assert_eq!(report.entries.len(), 20);
        assert_eq!(report.as_of.to_rfc3339(), "2026-11-20T09:59:12+00:00");
        let bitcoin = &report.entries[0];
        assert_eq!(bitcoin.provider_coin_id, "bitcoin");
        let (coin, numbers) = (bitcoin, &bitcoin.numbers);
        assert_eq!((coin.symbol.as_str(), coin.name.as_str(), coin.rank), ("BTC", "Bitcoin", 1));
        assert_eq!((numbers.price, numbers.volume_24h), (Some(70211.4421), Some(112_536_391_041.0)));
        assert_eq!(
            (numbers.percent_change_1h, numbers.percent_change_24h),
            (Some(-0.674_912_04), Some(-3.875_049_67))
        );
        assert_eq!((numbers.volume_change_24h, numbers.percent_change_7d), (None, None));
        assert_eq!(numbers.market_cap, Some(1_400_804_910_815.0));
        assert_eq!((numbers.circulating_supply, numbers.max_supply), (Some(19_951_234.0), Some(21e6)));
        assert_eq!((numbers.high_24h, numbers.low_24h), (Some(71_615.670_942), Some(68_105.098_837)));
        let ath_at = numbers.ath_at.map(|at| at.to_rfc3339());
        assert_eq!(
            (numbers.ath, ath_at.as_deref()),
            (Some(98_296.018_94), Some("2025-10-06T18:57:42.558+00:00"))
        );
        let image = "https://coin-images.coingecko.com/coins/images/1/large/bitcoin.png?1696501400";
        assert_eq!((coin.profile.image.as_deref(), &coin.profile.tags), (Some(image), &None));
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
    fn a_chart_is_read_point_by_point() {
        let body = br#"{"prices":[[1795132800000,1.5],[1795136400000,null],[1795140000000,-1],[true,2],
            [1795143600000,2.5],[9223372036854775807,3]],
            "market_caps":[[1795132800000,10],[1795143600000,null]],"total_volumes":[[1795132800000,7],["x"]]}"#;
        let found = decode_past(body).expect("a chart");
        let numbers: Vec<_> = found.iter().map(|one| (one.price, one.volume_24h, one.market_cap)).collect();
        assert_eq!(numbers, [(1.5, Some(7.0), Some(10.0)), (2.5, None, None)]);
        assert_eq!(found[0].at.to_rfc3339(), "2026-11-20T00:00:00+00:00");
        for bad in ["[]", "{}", r#"{"prices":{}}"#, "<html>"] {
            assert!(decode_past(bad.as_bytes()).is_err(), "{bad}");
        }
        let limited = decode_past(br#"{"status":{"error_code":429}}"#).expect_err("no chart");
        assert_eq!(limited.advice, Advice::After(Duration::from_mins(1)));
    }

    #[test]
    fn rates_are_ratios_of_one_price() {
        let codes = ["USD".to_owned(), "EUR".to_owned(), "XXX".to_owned()];
        with_call("GBP", |call| {
            let rates = |body: &str| {
                let rates = decode_rates(body.as_bytes(), call, "GBP", &codes)?;
                let parts = |rate: ReadRate| (rate.currency, rate.units, rate.changes.day);
                Ok::<_, Failure>(rates.into_iter().map(parts).collect::<Vec<_>>())
            };
            let body = r#"{"bitcoin":{"gbp":100.0,"gbp_24h_change":0.0,"usd":130,"usd_24h_change":4.0,"eur":115.0,
                "xxx":null,"xxx_24h_change":null}}"#;
            let change = rates(body).expect("rates")[0].2.expect("a change");
            assert!((change - 4.0).abs() < 1e-9, "{change}");
            assert_eq!(rates(body).expect("rates")[1], ("EUR".to_owned(), 1.15, None));
            for bad in ["{}", "[]", r#"{"bitcoin":{"usd":1}}"#, r#"{"bitcoin":{"gbp":null}}"#] {
                assert!(rates(bad).is_err(), "{bad}");
            }
        });
    }
}
