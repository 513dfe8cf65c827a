//! Reads CoinMarketCap, `GET /v3/cryptocurrency/listings/latest` and for followed coins `quotes/latest`, with a key or, by
//! `/public-api`, without one (then limited by address).
//!
//! Source: the provider's API documentation (coinmarketcap.com/api/documentation). A call costs one credit per 250 coins,
//! and each currency takes a call. Errors come as `status.error_code`, also with HTTP 200. v1 and v3 differ in the shape of
//! `quote` and the type of `error_code`; both are decoded.

mod global;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    super::{
        currency::rate_between,
        model::{Numbers, Profile, Report},
    },
    Call, Catalogue, CatalogueCoin, Global, Provider, Rates, collect_rates,
    listing::{self, Listing, Wanted},
};
use crate::{
    config::{KeySpec, ProviderSpec, UrlSpec},
    upstream::{Advice, Answer, Failure, MAX_BODY_SIZE, Readable},
};

/// Coins whose prices give the rate between two currencies. So many cost as much as one.
const COINS_FOR_RATES: u32 = 20;
pub const ID_NAMESPACE: &str = "coinmarketcap";

static SPEC_WITH_KEY: ProviderSpec = ProviderSpec {
    name: "coinmarketcap",
    url: Some(URL),
    key: Some(KeySpec { setting: "COINMARKETCAP_API_KEY", is_required: true, plan: None }),
    daily_budget: Some("COINMARKETCAP_DAILY_CREDITS"),
    monthly_budget: Some("COINMARKETCAP_MONTHLY_CREDITS"),
    stands_in_for: None,
};
static SPEC_WITHOUT_KEY: ProviderSpec = ProviderSpec {
    name: "coinmarketcap-public",
    url: Some(URL),
    key: None,
    daily_budget: None,
    monthly_budget: None,
    stands_in_for: Some("coinmarketcap"),
};
const URL: UrlSpec = UrlSpec { setting: "COINMARKETCAP_URL", default: "https://pro-api.coinmarketcap.com" };

/// One of the two ways to the same data.
pub struct CoinMarketCap {
    spec: &'static ProviderSpec,
    path_prefix: &'static str,
}

pub static WITH_KEY: CoinMarketCap = CoinMarketCap { spec: &SPEC_WITH_KEY, path_prefix: "" };
pub static WITHOUT_KEY: CoinMarketCap = CoinMarketCap { spec: &SPEC_WITHOUT_KEY, path_prefix: "/public-api" };

#[async_trait(?Send)]
impl Provider for CoinMarketCap {
    fn spec(&self) -> &'static ProviderSpec {
        self.spec
    }

    fn id_namespace(&self) -> &'static str {
        ID_NAMESPACE
    }

    fn attribution(&self) -> Option<&'static str> {
        Some("Data provided by CoinMarketCap (https://coinmarketcap.com)")
    }

    async fn report(&self, call: Call<'_>) -> Result<Report, Failure> {
        let (mut rows, stated) = self.listings(call, call.currency, call.count).await?;
        if !call.followed.is_empty() {
            match self.quotes(call).await {
                Ok(followed) => rows.extend(followed),
                Err(failure) => tracing::debug!(%failure, "cannot read the followed coins"),
            }
        }
        build(rows, stated, call.currency, call.wanted(), call.now)
    }

    async fn rates(&self, call: Call<'_>, report: &Report, currencies: &[String]) -> Result<Rates, Failure> {
        collect_rates(currencies.chunks(1), async |part| {
            let currency = &part[0];
            let count = COINS_FOR_RATES.min(call.count);
            let (rows, stated) = self.listings(call, currency, count).await?;
            let other = build(rows, stated, currency, Wanted::top(count), call.now)?;
            let rate = rate_between(&report.entries, &other.entries);
            Ok(rate.map(|(units, changes)| call.rate(currency, units, changes)).into_iter().collect())
        })
        .await
    }

    fn cost_of_rates(&self, currencies: usize) -> usize {
        currencies
    }

    fn catalogue(&self) -> Option<&'static dyn Catalogue> {
        Some(if self.spec.key.is_some() { &WITH_KEY } else { &WITHOUT_KEY })
    }

    fn global(&self) -> Option<&dyn Global> {
        Some(self)
    }
}

#[async_trait(?Send)]
impl Catalogue for CoinMarketCap {
    /// The 5,000 coins of the highest ranks, the most of one call.
    async fn read(&self, call: Call<'_>) -> Result<Vec<CatalogueCoin>, Failure> {
        let query = [("listing_status", "active"), ("start", "1"), ("limit", "5000"), ("sort", "cmc_rank")];
        let (names, _) = self.read::<CoinName>(call, "/v1/cryptocurrency/map", &query).await?;
        listing::build_catalogue(names.into_iter().map(CatalogueCoin::from))
    }
}

impl CoinMarketCap {
    /// Reads the largest coins.
    async fn listings(&self, call: Call<'_>, currency: &str, count: u32) -> Result<Rows<Row>, Failure> {
        let query = [
            ("start", "1"),
            ("limit", &count.to_string()),
            ("convert", currency),
            ("sort", "market_cap"),
            ("sort_dir", "desc"),
        ];
        self.read(call, "/v3/cryptocurrency/listings/latest", &query).await
    }

    /// Reads the followed coins.
    async fn quotes(&self, call: Call<'_>) -> Result<Vec<Row>, Failure> {
        let ids = call.followed.join(",");
        let query = [("id", ids.as_str()), ("convert", call.currency), ("skip_invalid", "true")];
        Ok(self.read(call, "/v3/cryptocurrency/quotes/latest", &query).await?.0)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Rows<T>, Failure> {
        rows(self.get(call, path, query, MAX_BODY_SIZE).await?.json(call.now)?)
    }

    /// Sends a request and counts what it was charged.
    async fn get(
        &self,
        call: Call<'_>,
        path: &str,
        query: &[(&str, &str)],
        max_body: usize,
    ) -> Result<Answer, Failure> {
        let url = format!("{}{}{path}", call.settings.url, self.path_prefix);
        let mut request = call.upstream.get(&url).query(query);
        if let Some(key) = &call.settings.key {
            request = request.header("X-CMC_PRO_API_KEY", key.expose());
        }
        let answer = call.upstream.send_bounded(request, max_body).await?;
        if let Some(credits) = credits(&answer.body) {
            call.charge(credits);
        }
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(&answer, call.now)) }
    }
}

/// What the call was charged, if the answer says so. An absurd number is ignored: the estimate is nearer.
fn credits(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Charged {
        status: CreditCount,
    }
    #[derive(Deserialize)]
    struct CreditCount {
        #[serde(deserialize_with = "number_or_text")]
        credit_count: i64,
    }
    const MAX_CREDITS: u32 = 1000;
    let credits = serde_json::from_slice::<Charged>(body).ok()?.status.credit_count;
    u32::try_from(credits).ok().filter(|credits| *credits <= MAX_CREDITS)
}

fn refusal(answer: &Answer, now: DateTime<Utc>) -> Failure {
    let envelope = serde_json::from_slice::<StatusOnly>(&answer.body).ok();
    match envelope.filter(|envelope| envelope.status.error_code != 0) {
        Some(envelope) => answer.add_retry_after(envelope.status.failure(), now),
        None => answer.refusal(now),
    }
}

#[derive(Deserialize)]
struct StatusOnly {
    status: Status,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    status: Status,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// The rows of an answer, and the time that it states.
type Rows<T> = (Vec<T>, Option<DateTime<Utc>>);

#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "listing::time")]
    timestamp: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "number_or_text")]
    error_code: i64,
    error_message: Option<String>,
}

impl Status {
    /// Codes: the table "Errors and Rate Limits" of the documentation.
    fn failure(&self) -> Failure {
        let advice = match self.error_code {
            1008 | 1011 => Advice::After(Duration::from_mins(1)),
            1009 => Advice::NextDay,
            401..=403 | 1001..=1007 | 1010 => Advice::Stop,
            _ => Advice::BackOff,
        };
        let text = self.error_message.as_deref().unwrap_or_default();
        Failure::new(advice, format!("error {}: {text}", self.error_code))
    }
}

#[derive(Deserialize)]
struct Row {
    id: i64,
    name: String,
    symbol: String,
    slug: String,
    cmc_rank: Option<i32>,
    #[serde(default, deserialize_with = "listing::optional")]
    circulating_supply: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    max_supply: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    tags: Option<Vec<String>>,
    quote: Quotes,
}

#[derive(Deserialize)]
struct CoinName {
    id: i64,
    name: String,
    symbol: String,
    slug: String,
    rank: Option<i32>,
}

impl From<CoinName> for CatalogueCoin {
    fn from(CoinName { id, name, symbol, slug, rank }: CoinName) -> Self {
        Self { provider_coin_id: id.to_string(), symbol, name, slug, rank }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Quotes {
    V3(Vec<NamedQuote>),
    V1(HashMap<String, Quote>),
}

#[derive(Deserialize)]
struct NamedQuote {
    symbol: String,
    #[serde(flatten)]
    quote: Quote,
}

#[derive(Deserialize)]
struct Quote {
    price: Option<f64>,
    volume_24h: Option<f64>,
    volume_change_24h: Option<f64>,
    percent_change_1h: Option<f64>,
    percent_change_24h: Option<f64>,
    percent_change_7d: Option<f64>,
    #[serde(default, deserialize_with = "listing::optional")]
    percent_change_30d: Option<f64>,
    market_cap: Option<f64>,
    #[serde(default, deserialize_with = "listing::time")]
    last_updated: Option<DateTime<Utc>>,
}

fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i64),
        Text(String),
    }
    match Code::deserialize(deserializer)? {
        Code::Number(code) => Ok(code),
        Code::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// Decodes the top `count` coins from a body of either version, received at `now`.
pub fn decode(body: &[u8], currency: &str, count: u32, now: DateTime<Utc>) -> Result<Report, Failure> {
    let (rows, stated) = rows(body)?;
    build(rows, stated, currency, Wanted::top(count), now)
}

fn rows<T: DeserializeOwned>(body: &[u8]) -> Result<Rows<T>, Failure> {
    // An error may come with or without data, of any shape.
    let status = serde_json::from_slice::<StatusOnly>(body).map_err(Failure::unexpected_body)?.status;
    if status.error_code != 0 {
        return Err(status.failure());
    }
    let Envelope { status, data } = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let data = data.map_or("[]", RawValue::get);
    Ok((list_or_object(data).map_err(Failure::unexpected_body)?, status.timestamp))
}

/// Reads the coins that can be read. The largest coins come as a list, coins by their ids also as an object with a member for
/// each.
fn list_or_object<T: DeserializeOwned>(data: &str) -> serde_json::Result<Vec<T>> {
    if let Ok(rows) = serde_json::from_str::<Readable<T>>(data) {
        return Ok(rows.items);
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(data)?;
    Ok(members.values().filter_map(|row| serde_json::from_str(row.get()).ok()).collect())
}

fn build(
    rows: Vec<Row>,
    stated: Option<DateTime<Utc>>,
    currency: &str,
    wanted: Wanted,
    now: DateTime<Utc>,
) -> Result<Report, Failure> {
    let listings = rows.into_iter().filter_map(|row| listing(row, currency));
    listing::build_report(listings, currency, wanted, stated, now)
}

/// The address of a logo, as the documentation states it.
fn image(id: i64) -> Option<String> {
    listing::image(
        &format!("https://s2.coinmarketcap.com/static/img/coins/64x64/{id}.png"),
        "coinmarketcap.com",
    )
}

/// None for a coin without a quote in our currency.
fn listing(row: Row, currency: &str) -> Option<Listing> {
    let quote = match row.quote {
        Quotes::V3(quotes) => quotes.into_iter().find(|named| named.symbol == currency)?.quote,
        Quotes::V1(mut quotes) => quotes.remove(currency)?,
    };
    Some(Listing {
        provider_coin_id: row.id.to_string(),
        symbol: row.symbol,
        name: row.name,
        slug: row.slug,
        rank: row.cmc_rank,
        profile: Profile { image: image(row.id), tags: Some(row.tags.unwrap_or_default()) },
        numbers: Numbers {
            price: quote.price,
            volume_24h: quote.volume_24h,
            volume_change_24h: quote.volume_change_24h,
            percent_change_1h: quote.percent_change_1h,
            percent_change_24h: quote.percent_change_24h,
            percent_change_7d: quote.percent_change_7d,
            percent_change_30d: quote.percent_change_30d,
            market_cap: quote.market_cap,
            circulating_supply: row.circulating_supply,
            max_supply: row.max_supply,
            // Its answer has neither the range of the day nor the highest price ever.
            high_24h: None,
            low_24h: None,
            ath: None,
            ath_at: None,
        },
        updated_at: quote.last_updated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        super::super::fixture(&format!("cmc_{name}"))
    }

    #[test]
    fn both_versions_give_the_same_report() {
        let v3 = decode(&fixture("v3_listings_latest_gbp"), "GBP", 20, DateTime::UNIX_EPOCH).expect("v3");
        let v1 = decode(&fixture("v1_listings_latest_gbp"), "GBP", 20, DateTime::UNIX_EPOCH).expect("v1");
        assert_eq!(v3, v1);
        assert_eq!(v3.entries.len(), 20);
        let bitcoin = &v3.entries[0];
        assert_eq!((bitcoin.symbol.as_str(), bitcoin.rank), ("BTC", 1));
        assert_eq!(bitcoin.numbers.price, Some(70211.4421));
        assert_eq!(bitcoin.numbers.volume_change_24h, Some(-37.9991));
        assert_eq!(bitcoin.numbers.percent_change_30d, Some(10.601_969_25));
        assert_eq!(bitcoin.numbers.circulating_supply, Some(19_951_234.0));
        assert_eq!((bitcoin.numbers.max_supply, bitcoin.numbers.ath), (Some(21e6), None));
        let image = "https://s2.coinmarketcap.com/static/img/coins/64x64/1.png";
        assert_eq!(bitcoin.profile.image.as_deref(), Some(image));
        let tags = ["mineable", "pow", "store-of-value"].map(str::to_owned).to_vec();
        assert_eq!(bitcoin.profile.tags, Some(tags));
    }

    #[test]
    fn the_credits_of_a_call_are_read_and_absurd_ones_are_not() {
        let read = |count: &str| credits(format!("{{\"status\": {{\"credit_count\": {count}}}}}").as_bytes());
        assert_eq!((read("3"), read("\"2\""), read("0")), (Some(3), Some(2), Some(0)));
        for absurd in ["-1", "1001", "1e9", "null", "\"many\"", "[]"] {
            assert_eq!(read(absurd), None, "{absurd}");
        }
        assert_eq!((credits(b"{}"), credits(b"<html>"), credits(br#"{"status": {}}"#)), (None, None, None));
        assert_eq!(credits(&fixture("v3_listings_latest_gbp")), Some(1));
    }

    #[test]
    fn each_error_code_has_its_own_advice() {
        let minute = Advice::After(Duration::from_mins(1));
        let cases = [
            ("error_400", Advice::BackOff),
            ("error_401_invalid_key", Advice::Stop),
            ("error_401_missing_key", Advice::Stop),
            ("error_402_expired", Advice::Stop),
            ("error_403_plan", Advice::Stop),
            ("error_429_minute", minute),
            ("error_429_ip", minute),
            ("error_429_day", Advice::NextDay),
            ("error_429_month", Advice::Stop),
            ("error_500", Advice::BackOff),
        ];
        for (name, advice) in cases {
            let failure = decode(&fixture(name), "GBP", 20, DateTime::UNIX_EPOCH).expect_err(name);
            assert_eq!(failure.advice, advice, "{name}");
        }
    }

    #[test]
    fn invalid_bodies_are_failures_and_never_empty_reports() {
        let bodies = [
            "",
            "{",
            "<html>",
            "[]",
            "{}",
            "null",
            r#"{"status":{"error_code":0},"data":[]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"GBP":{"price":1}}}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"USD":{"price":1}}}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"GBP":{"price":-1}}}]}"#,
            r#"{"status":{"error_code":0},"data":[{"id":1,"name":"B","symbol":"B","slug":"b","cmc_rank":1,"quote":{"GBP":{"price":1e999}}}]}"#,
        ];
        for body in bodies {
            assert!(decode(body.as_bytes(), "GBP", 20, DateTime::UNIX_EPOCH).is_err(), "{body}");
        }
    }

    #[test]
    fn an_invalid_row_is_left_out_and_text_is_cleaned() {
        let text = String::from_utf8(fixture("v3_listings_latest_gbp")).expect("UTF-8");
        let odd = text.replacen("\"name\": \"Ethereum\"", "\"name\": null", 1);
        let odd = odd.replacen("\"Bitcoin\"", "\"Bit\\u202ecoin\\u0000\"", 1);
        let report = decode(odd.as_bytes(), "GBP", 20, DateTime::UNIX_EPOCH).expect("a report");
        assert_eq!(report.entries.len(), 19);
        assert_eq!(report.entries[0].name, "Bitcoin");
        let failure = r#"{"status":{"error_code":1002,"error_message":"a\u0000b"}}"#;
        let failure = decode(failure.as_bytes(), "GBP", 20, DateTime::UNIX_EPOCH).expect_err("a failure");
        assert_eq!(failure, Failure::new(Advice::Stop, "error 1002: ab"));
    }
}
