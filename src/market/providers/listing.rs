//! What all lists have in common: rows that make no sense are left out, a list that makes no
//! sense is a failure, and numbers are plausible or null.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, Utc};

use super::super::model::{Coin, Entry, Quote, Report};
use crate::upstream::{Failure, clean};

/// No market data is older.
const BITCOIN_BEGAN: i32 = 2009;
/// More than all the money there is, in any currency.
const LARGEST_AMOUNT: f64 = 1e21;
const LARGEST_CHANGE: f64 = 1e9;
const LONGEST_NAME: usize = 100;

/// What a provider says of a coin, as it says it.
#[derive(Default)]
pub struct Listing {
    pub provider_coin_id: String,
    pub symbol: String,
    pub name: String,
    pub slug: String,
    pub rank: Option<i32>,
    pub price: Option<f64>,
    pub volume_24h: Option<f64>,
    pub volume_change_24h: Option<f64>,
    pub percent_change_1h: Option<f64>,
    pub percent_change_24h: Option<f64>,
    pub percent_change_7d: Option<f64>,
    pub market_cap: Option<f64>,
}

/// The top `count` by rank. Of rows with the same id the first counts. A list in which fewer
/// than four fifths of the wanted coins have a price is no better than what we have already.
pub fn report(
    listings: impl IntoIterator<Item = Listing>,
    currency: &str,
    count: u32,
    stated: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Report, Failure> {
    let count = count as usize;
    let mut seen = HashSet::new();
    let mut entries: Vec<Entry> = listings
        .into_iter()
        .filter_map(entry)
        .filter(|entry| seen.insert(entry.provider_coin_id.clone()))
        .collect();
    entries.sort_by_key(|entry| entry.coin.rank);
    entries.truncate(count);
    let priced = entries.iter().filter(|entry| entry.coin.price.is_some()).count();
    if priced == 0 || priced * 5 < count * 4 {
        return Err(Failure::garbage(format!("only {priced} of {count} coins have a price")));
    }
    let as_of = stated.filter(|time| time.year() >= BITCOIN_BEGAN).unwrap_or(now).min(now);
    Ok(Report { currency: currency.to_owned(), as_of, entries })
}

/// None for a coin without a rank or a name.
fn entry(listing: Listing) -> Option<Entry> {
    let amount = |value: Option<f64>| value.filter(|value| (0.0..=LARGEST_AMOUNT).contains(value));
    let change = |value: Option<f64>| value.filter(|value| (-100.0..=LARGEST_CHANGE).contains(value));
    let text = |text: &str| {
        let text = clean(text.trim(), LONGEST_NAME);
        (!text.is_empty()).then_some(text)
    };
    Some(Entry {
        provider_coin_id: text(&listing.provider_coin_id)?,
        coin: Coin {
            id: 0,
            symbol: text(&listing.symbol)?,
            name: text(&listing.name)?,
            slug: text(&listing.slug)?,
            rank: listing.rank.filter(|rank| *rank > 0)?,
            // Nothing is free: a price of zero is one that is not known.
            price: amount(listing.price).filter(|price| *price > 0.0),
            volume_24h: amount(listing.volume_24h),
            volume_change_24h: change(listing.volume_change_24h),
            percent_change_1h: change(listing.percent_change_1h),
            percent_change_24h: change(listing.percent_change_24h),
            percent_change_7d: change(listing.percent_change_7d),
            market_cap: amount(listing.market_cap),
            quote: Quote::default(),
            social: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(id: u32) -> Listing {
        Listing {
            provider_coin_id: id.to_string(),
            symbol: "B".into(),
            name: "B".into(),
            slug: "b".into(),
            rank: Some(1),
            price: Some(1.0),
            ..Listing::default()
        }
    }

    fn coins(listings: Vec<Listing>) -> Vec<Coin> {
        let count = u32::try_from(listings.len()).expect("few");
        let report = report(listings, "GBP", count, None, DateTime::UNIX_EPOCH).expect("a report");
        report.entries.into_iter().map(|entry| entry.coin).collect()
    }

    #[test]
    fn implausible_numbers_are_null() {
        for bad in [-1.0, 0.0, 1e22, f64::NAN, f64::INFINITY] {
            let rows = (0..9).map(listing).chain([Listing { price: Some(bad), ..listing(9) }]);
            assert_eq!(coins(rows.collect())[9].price, None, "{bad}");
        }
        let odd = Listing {
            volume_24h: Some(-1.0),
            market_cap: Some(f64::INFINITY),
            percent_change_1h: Some(-101.0),
            percent_change_24h: Some(f64::NAN),
            percent_change_7d: Some(1e10),
            volume_change_24h: Some(-100.0),
            ..listing(1)
        };
        let coin = &coins(vec![odd])[0];
        assert_eq!((coin.volume_24h, coin.market_cap), (None, None));
        assert_eq!((coin.percent_change_1h, coin.percent_change_24h), (None, None));
        assert_eq!((coin.percent_change_7d, coin.volume_change_24h), (None, Some(-100.0)));
    }

    #[test]
    fn a_coin_that_is_listed_twice_counts_once() {
        let second = Listing { price: Some(2.0), ..listing(1) };
        let rows = vec![listing(1), second, listing(2), listing(3), listing(4)];
        let found = coins(rows);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].price, Some(1.0));
    }

    #[test]
    fn a_list_that_is_empty_or_a_part_is_a_failure() {
        let failed = |listings: Vec<Listing>, count| {
            report(listings, "GBP", count, None, DateTime::UNIX_EPOCH).is_err()
        };
        assert!(failed(vec![], 1));
        assert!(failed((0..7).map(listing).collect(), 10));
        assert!(!failed((0..8).map(listing).collect(), 10));
        assert!(failed((0..8).map(|id| Listing { price: None, ..listing(id) }).collect(), 8));
    }

    #[test]
    fn the_time_of_the_data_is_neither_absurd_nor_in_the_future() {
        let now: DateTime<Utc> = "2026-11-20T10:00:00Z".parse().expect("time");
        let as_of = |stated: &str| {
            let stated = Some(stated.parse().expect("time"));
            report(vec![listing(1)], "GBP", 1, stated, now).expect("a report").as_of
        };
        assert_eq!(as_of("1970-01-01T00:00:00Z"), now);
        assert_eq!(as_of("2999-01-01T00:00:00Z"), now);
        assert_eq!(as_of("2026-11-20T09:59:00Z"), now - chrono::TimeDelta::minutes(1));
    }
}
