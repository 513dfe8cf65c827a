//! Turns a provider's list into a report: drops invalid rows and implausible numbers, and refuses useless lists.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{
    super::{
        model::{Entry, Numbers, Profile, Report},
        plausible::{self, amount, positive},
    },
    CatalogueCoin, PastValue,
};
use crate::upstream::{Failure, clean};

/// In percent.
const MAX_CHANGE: f64 = 1e9;
/// In characters.
const MAX_NAME_LEN: usize = 100;
/// In bytes.
const MAX_IMAGE_LEN: usize = 300;
/// Bounds memory, and the rows of the catalogue.
const MAX_CATALOGUE: usize = 50_000;
const MAX_TAGS: usize = 30;
/// In characters.
const MAX_TAG_LEN: usize = 50;

/// A row of a provider's list, unchecked.
pub struct Listing {
    pub provider_coin_id: String,
    pub symbol: String,
    pub name: String,
    pub slug: String,
    pub rank: Option<i32>,
    pub profile: Profile,
    pub numbers: Numbers,
    /// When the provider last updated the price.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Reads a time, for `deserialize_with`. A value that is no time is None: it does not make the numbers beside it wrong.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok()))
}

/// Reads a value that may have another shape, which is None, for `deserialize_with`. As [`time`].
pub fn optional<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// Returns the address of a logo if it is an HTTPS address of bounded length below this domain, at the usual port.
pub fn image(address: &str, domain: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| url.scheme() == "https" && url.port().is_none())?;
    let host = url.host_str()?;
    let is_below = host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_below && is_plain && url.as_str().len() <= MAX_IMAGE_LEN).then(|| url.into())
}

/// The coins that a report should have.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// How many of the largest.
    pub count: u32,
    /// Further ones, by their ids at the provider.
    pub followed: &'a [String],
}

impl Wanted<'static> {
    /// The largest coins only.
    pub fn top(count: u32) -> Self {
        Self { count, followed: &[] }
    }
}

/// Builds a report of the top `count` coins by rank, and of those of the others that are wanted. Of rows with the same id the
/// first counts. A list in which fewer than four fifths of the top coins have a price is refused: the previous snapshot is
/// better.
///
/// The time of the data is the median of the times of the prices, so neither one coin that stands still nor one wrong time
/// decides; of an even number the earlier of the two in the middle. Without any, it is the time that is `stated` for the
/// list, else now. Times in the future count as now: they come from another clock.
pub fn build_report(
    listings: impl IntoIterator<Item = Listing>,
    currency: &str,
    wanted: Wanted,
    stated: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Report, Failure> {
    let count = wanted.count as usize;
    let mut seen = HashSet::new();
    let mut entries: Vec<Entry> = listings
        .into_iter()
        .filter_map(|listing| entry(listing, now))
        .filter(|entry| seen.insert(entry.provider_coin_id.clone()))
        .collect();
    entries.sort_by_key(|entry| entry.rank);
    let others = entries.split_off(count.min(entries.len()));
    let priced = entries.iter().filter(|entry| entry.numbers.price.is_some()).count();
    if priced == 0 || priced * 5 < count * 4 {
        return Err(Failure::unexpected_body(format!("only {priced} of {count} coins have a price")));
    }
    let as_of = median_time(&entries).or_else(|| plausible::time(stated, now)).unwrap_or(now);
    let followed = others.into_iter().filter(|entry| wanted.followed.contains(&entry.provider_coin_id));
    entries.extend(followed.map(|entry| Entry { is_listed: false, ..entry }));
    Ok(Report { currency: currency.to_owned(), as_of, entries })
}

fn median_time(entries: &[Entry]) -> Option<DateTime<Utc>> {
    let priced = entries.iter().filter(|entry| entry.numbers.price.is_some());
    let mut times: Vec<_> = priced.filter_map(|entry| entry.updated_at).collect();
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

/// Checks a row; None for a coin without a rank or a name.
fn entry(listing: Listing, now: DateTime<Utc>) -> Option<Entry> {
    let change = |value: Option<f64>| value.filter(|value| (-100.0..=MAX_CHANGE).contains(value));
    let read = listing.numbers;
    let (high_24h, low_24h) = match (positive(read.high_24h), positive(read.low_24h)) {
        (Some(high), Some(low)) if high < low => (None, None),
        range => range,
    };
    let ath = positive(read.ath);
    Some(Entry {
        provider_coin_id: text(&listing.provider_coin_id)?,
        symbol: text(&listing.symbol)?,
        name: text(&listing.name)?,
        slug: text(&listing.slug)?,
        rank: listing.rank.filter(|rank| *rank > 0)?,
        is_listed: true,
        profile: Profile { image: listing.profile.image, tags: listing.profile.tags.map(tags) },
        // Nothing is free, so a price of zero means that it is unknown; the same holds for a supply.
        numbers: Numbers {
            price: positive(read.price),
            volume_24h: amount(read.volume_24h),
            volume_change_24h: change(read.volume_change_24h),
            percent_change_1h: change(read.percent_change_1h),
            percent_change_24h: change(read.percent_change_24h),
            percent_change_7d: change(read.percent_change_7d),
            percent_change_30d: change(read.percent_change_30d),
            market_cap: amount(read.market_cap),
            circulating_supply: positive(read.circulating_supply),
            max_supply: positive(read.max_supply),
            high_24h,
            low_24h,
            ath,
            ath_at: plausible::time(read.ath_at, now).filter(|_| ath.is_some()),
        },
        updated_at: plausible::time(listing.updated_at, now),
    })
}

/// Checks the coins of a list of all coins, of which at least one must be readable. Those of the lowest ranks are dropped if
/// there are too many.
pub fn build_catalogue(
    coins: impl IntoIterator<Item = CatalogueCoin>,
) -> Result<Vec<CatalogueCoin>, Failure> {
    let mut seen = HashSet::new();
    let mut coins: Vec<_> = coins
        .into_iter()
        .filter_map(|coin| {
            Some(CatalogueCoin {
                provider_coin_id: text(&coin.provider_coin_id)?,
                symbol: text(&coin.symbol)?,
                name: text(&coin.name)?,
                slug: text(&coin.slug)?,
                rank: coin.rank.filter(|rank| *rank > 0),
            })
        })
        .filter(|coin| seen.insert(coin.provider_coin_id.clone()))
        .collect();
    if coins.is_empty() {
        return Err(Failure::unexpected_body("no coins"));
    }
    coins.sort_by_key(|coin| coin.rank.unwrap_or(i32::MAX));
    coins.truncate(MAX_CATALOGUE);
    Ok(coins)
}

/// Cleans an id or a name; None if nothing is left.
fn text(text: &str) -> Option<String> {
    let text = clean(text.trim(), MAX_NAME_LEN);
    (!text.is_empty()).then_some(text)
}

/// Checks a value of the past; None for an impossible price.
pub fn past_value(
    at: DateTime<Utc>,
    price: Option<f64>,
    volume_24h: Option<f64>,
    market_cap: Option<f64>,
) -> Option<PastValue> {
    let price = positive(price)?;
    Some(PastValue { at, price, volume_24h: amount(volume_24h), market_cap: amount(market_cap) })
}

/// Cleans and bounds tags. A table shows them with spaces between them, so a space within one becomes a hyphen.
fn tags(tags: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    tags.iter()
        .map(|tag| clean(&tag.split_whitespace().collect::<Vec<_>>().join("-"), MAX_TAG_LEN))
        .filter(|tag| !tag.is_empty() && seen.insert(tag.clone()))
        .take(MAX_TAGS)
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn listing(id: u32) -> Listing {
        Listing {
            provider_coin_id: id.to_string(),
            symbol: "B".into(),
            name: "B".into(),
            slug: "b".into(),
            rank: Some(1),
            profile: Profile::default(),
            numbers: Numbers { price: Some(1.0), ..Numbers::default() },
            updated_at: None,
        }
    }

    fn priced(id: u32, price: Option<f64>) -> Listing {
        Listing { numbers: Numbers { price, ..Numbers::default() }, ..listing(id) }
    }

    fn read(listings: Vec<Listing>) -> Vec<Numbers> {
        let count = u32::try_from(listings.len()).expect("few");
        let report =
            build_report(listings, "GBP", Wanted::top(count), None, DateTime::UNIX_EPOCH).expect("a report");
        report.entries.into_iter().map(|entry| entry.numbers).collect()
    }

    #[test]
    fn followed_coins_come_after_the_list() {
        let rows =
            (1..=9).map(|id| Listing { rank: Some(10 - i32::try_from(id).expect("small")), ..listing(id) });
        let followed = ["2".to_owned(), "8".to_owned(), "77".to_owned()];
        let wanted = Wanted { count: 5, followed: &followed };
        let report = build_report(rows, "GBP", wanted, None, DateTime::UNIX_EPOCH).expect("a report");
        let found: Vec<_> =
            report.entries.iter().map(|entry| (entry.provider_coin_id.as_str(), entry.is_listed)).collect();
        assert_eq!(found, [("9", true), ("8", true), ("7", true), ("6", true), ("5", true), ("2", false)]);
    }

    #[test]
    fn implausible_numbers_are_null() {
        for bad in [-1.0, 0.0, 1e22, f64::NAN, f64::INFINITY] {
            let rows = (0..9).map(listing).chain([priced(9, Some(bad))]);
            assert_eq!(read(rows.collect())[9].price, None, "{bad}");
        }
        let odd = Numbers {
            price: Some(1.0),
            volume_24h: Some(-1.0),
            market_cap: Some(f64::INFINITY),
            percent_change_1h: Some(-101.0),
            percent_change_24h: Some(f64::NAN),
            percent_change_7d: Some(1e10),
            volume_change_24h: Some(-100.0),
            high_24h: Some(1.0),
            low_24h: Some(1.1),
            circulating_supply: Some(0.0),
            max_supply: Some(1e22),
            ath: Some(-1.0),
            ath_at: Some(DateTime::UNIX_EPOCH),
            percent_change_30d: Some(-101.0),
        };
        let numbers = &read(vec![Listing { numbers: odd, ..listing(1) }])[0];
        assert_eq!((numbers.volume_24h, numbers.market_cap), (None, None));
        assert_eq!((numbers.percent_change_1h, numbers.percent_change_24h), (None, None));
        assert_eq!((numbers.percent_change_7d, numbers.volume_change_24h), (None, Some(-100.0)));
        assert_eq!((numbers.high_24h, numbers.low_24h, numbers.percent_change_30d), (None, None, None));
        assert_eq!((numbers.circulating_supply, numbers.max_supply), (None, None));
        assert_eq!((numbers.ath, numbers.ath_at), (None, None));
    }

    #[test]
    fn an_image_is_an_https_address_of_the_provider() {
        let read = |address: &str| image(address, "coingecko.com");
        let good = "https://coin-images.coingecko.com/coins/images/1/large/bitcoin.png?1696501400";
        assert_eq!(read(good).as_deref(), Some(good));
        assert_eq!(read("https://coingecko.com/a b").as_deref(), Some("https://coingecko.com/a%20b"));
        let long = format!("https://coingecko.com/{}", "x".repeat(300));
        for bad in [
            "missing_large.png",
            "",
            "http://coingecko.com/a.png",
            "https://evilcoingecko.com/a.png",
            "https://coingecko.com.evil.example/a.png",
            "https://coingecko.com@evil.example/a.png",
            "https://me:key@coingecko.com/a.png",
            "https://coingecko.com:8443/a.png",
            "javascript:alert(1)//coingecko.com",
            "data:image/png;base64,AAAA",
            &long,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_are_clean_few_and_different() {
        let read = |given: &[&str]| tags(given.iter().map(|tag| (*tag).to_owned()).collect());
        assert_eq!(read(&["pow", " layer  1 ", "pow", "", " ", "a\u{202e}b"]), ["pow", "layer-1", "ab"]);
        let many: Vec<_> = (0..99).map(|n| format!("{n}{}", "x".repeat(99))).collect();
        let kept = tags(many);
        assert!(kept.len() == MAX_TAGS && kept.iter().all(|tag| tag.chars().count() == MAX_TAG_LEN));
    }

    #[test]
    fn a_coin_that_is_listed_twice_counts_once() {
        let rows = vec![listing(1), priced(1, Some(2.0)), listing(2), listing(3), listing(4)];
        let found = read(rows);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].price, Some(1.0));
    }

    #[test]
    fn an_empty_or_incomplete_list_is_refused() {
        let failed = |listings: Vec<Listing>, count| {
            build_report(listings, "GBP", Wanted::top(count), None, DateTime::UNIX_EPOCH).is_err()
        };
        assert!(failed(vec![], 1));
        assert!(failed((0..7).map(listing).collect(), 10));
        assert!(!failed((0..8).map(listing).collect(), 10));
        assert!(failed((0..8).map(|id| priced(id, None)).collect(), 8));
    }

    #[test]
    fn an_absurd_or_future_time_of_the_data_becomes_now() {
        let now: DateTime<Utc> = "2026-11-20T10:00:00Z".parse().expect("time");
        let as_of = |stated: &str| {
            let stated = Some(stated.parse().expect("time"));
            build_report(vec![listing(1)], "GBP", Wanted::top(1), stated, now).expect("a report").as_of
        };
        assert_eq!(as_of("1970-01-01T00:00:00Z"), now);
        assert_eq!(as_of("2999-01-01T00:00:00Z"), now);
        assert_eq!(as_of("2026-11-20T09:59:00Z"), now - TimeDelta::minutes(1));
    }

    #[test]
    fn the_time_of_the_data_is_the_median_of_the_times_of_its_prices() {
        let now: DateTime<Utc> = "2026-11-20T10:00:00Z".parse().expect("time");
        // In minutes before now; None for a coin without a time.
        let age = |ages: &[Option<i64>]| {
            let times = ages.iter().map(|age| age.map(|age| now - TimeDelta::minutes(age)));
            let listings = (0..).zip(times).map(|(id, updated_at)| Listing { updated_at, ..listing(id) });
            let count = u32::try_from(ages.len()).expect("few");
            let stated = Some(now - TimeDelta::minutes(7));
            let report = build_report(listings, "GBP", Wanted::top(count), stated, now).expect("a report");
            (now - report.as_of).num_minutes()
        };
        let few = |age| [Some(age); 5];
        assert_eq!(age(&[Some(300), Some(1), Some(2), Some(1), Some(1)]), 1, "one slow coin");
        assert_eq!(age(&[few(300), few(1)].concat()), 300, "half of the coins stand still");
        assert_eq!(age(&[Some(-500_000_000), Some(3), Some(4)]), 3, "one from the future");
        assert_eq!(age(&[Some(-5), Some(-5), Some(4)]), 0, "another clock");
        assert_eq!(age(&[None, None, Some(2), None]), 2, "one that has a time");
        assert_eq!(age(&[Some(30_000_000), Some(5), None]), 5, "one from before bitcoin");
        assert_eq!(age(&[None, None, None]), 7, "none");
        // A coin without a price says nothing about the age of prices.
        let unpriced = Listing { updated_at: Some(now - TimeDelta::hours(9)), ..priced(9, None) };
        let updated_at = Some(now - TimeDelta::minutes(1));
        let rows = (0..4).map(|id| Listing { updated_at, ..listing(id) }).chain([unpriced]);
        assert_eq!(
            Some(build_report(rows, "GBP", Wanted::top(5), None, now).expect("a report").as_of),
            updated_at
        );
    }

    #[test]
    fn a_time_that_is_none_does_not_make_a_row_unreadable() {
        #[derive(Deserialize)]
        struct Row {
            #[serde(default, deserialize_with = "time")]
            at: Option<DateTime<Utc>>,
        }
        let read = |text: &str| serde_json::from_str::<Row>(text).expect("a row").at;
        assert_eq!(read(r#"{"at": "1970-01-01T00:00:00Z"}"#), Some(DateTime::UNIX_EPOCH));
        for odd in [r#"{"at": "soon"}"#, r#"{"at": 12}"#, r#"{"at": {}}"#, r#"{"at": null}"#, "{}"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
