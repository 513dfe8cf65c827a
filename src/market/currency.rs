//! Converts market data to another currency.
//!
//! Data is fetched and stored in one currency, since each further one costs a provider's credits. A rate between two
//! currencies is the ratio of one coin's prices in both, from one provider, read once an hour; with CoinMarketCap it is the
//! median ratio of the top coins. With the rate r, an amount a becomes `a * r`. If the rate has changed by f percent, a
//! change of p percent becomes `((1 + p/100) * (1 + f/100) - 1) * 100`. f comes from the changes that the provider states for
//! the same coin in both currencies, or else from our own history of rates; without both, the change is null.

use std::collections::HashMap;

use super::model::{Coin, Entry, Numbers, Rate, RateChanges};

/// Larger changes of a rate within a month are errors.
const MAX_FACTOR: f64 = 2.0;

/// Converts a coin to the rate's currency.
pub fn convert(coin: &Coin, rate: &Rate) -> Coin {
    let numbers = convert_numbers(&coin.numbers(), rate);
    let (identity, profile, social) = (coin.into(), coin.profile(), coin.social.clone());
    Coin::new(identity, profile, coin.rank, social, numbers, coin.updated_at, &rate.currency)
}

fn convert_numbers(numbers: &Numbers, rate: &Rate) -> Numbers {
    let amount = |value: Option<f64>| value.map(|value| value * rate.units).filter(|value| value.is_finite());
    let change = |percent: Option<f64>, of_rate: Option<f64>| {
        let (percent, of_rate) = (percent?, of_rate?);
        Some(((1.0 + percent / 100.0) * (1.0 + of_rate / 100.0) - 1.0) * 100.0)
    };
    Numbers {
        price: amount(numbers.price),
        volume_24h: amount(numbers.volume_24h),
        volume_change_24h: change(numbers.volume_change_24h, rate.percent_change_24h),
        percent_change_1h: change(numbers.percent_change_1h, rate.percent_change_1h),
        percent_change_24h: change(numbers.percent_change_24h, rate.percent_change_24h),
        percent_change_7d: change(numbers.percent_change_7d, rate.percent_change_7d),
        percent_change_30d: change(numbers.percent_change_30d, rate.percent_change_30d),
        market_cap: amount(numbers.market_cap),
        high_24h: amount(numbers.high_24h),
        low_24h: amount(numbers.low_24h),
        ath: amount(numbers.ath),
        // The rest has no currency.
        circulating_supply: numbers.circulating_supply,
        max_supply: numbers.max_supply,
        ath_at: numbers.ath_at,
    }
}

/// Compares prices in `from` and in `to`, of the coins in both lists: the rate is the median ratio of the prices, and its
/// changes the medians of those that follow from the changes of the prices.
pub fn rate_between(from: &[Entry], to: &[Entry]) -> Option<(f64, RateChanges)> {
    let known: HashMap<_, _> = from.iter().map(|entry| (&entry.provider_coin_id, &entry.numbers)).collect();
    let pairs: Vec<_> =
        to.iter().filter_map(|entry| Some((*known.get(&entry.provider_coin_id)?, &entry.numbers))).collect();
    let price = |numbers: &Numbers| numbers.price.filter(|price| *price > 0.0);
    let units = median(pairs.iter().filter_map(|(from, to)| Some(price(to)? / price(from)?)))?;
    let change = |of: fn(&Numbers) -> Option<f64>| {
        median(pairs.iter().filter_map(|(from, to)| change_of_rate(of(from), of(to))))
    };
    let changes = RateChanges {
        hour: change(|numbers| numbers.percent_change_1h),
        day: change(|numbers| numbers.percent_change_24h),
        week: change(|numbers| numbers.percent_change_7d),
        month: change(|numbers| numbers.percent_change_30d),
    };
    Some((units, changes))
}

/// Computes by how many percent a rate has changed, from the changes of one coin's prices in both currencies. None without
/// both, and for a factor above [`MAX_FACTOR`], which no currency changes by within a month.
pub fn change_of_rate(from: Option<f64>, to: Option<f64>) -> Option<f64> {
    let factor = (1.0 + to? / 100.0) / (1.0 + from? / 100.0);
    (1.0 / MAX_FACTOR..=MAX_FACTOR).contains(&factor).then_some((factor - 1.0) * 100.0)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::model::Profile, *};

    fn numbers(price: f64, change: f64) -> Numbers {
        Numbers {
            price: Some(price),
            percent_change_1h: Some(change),
            percent_change_24h: Some(change),
            market_cap: Some(price),
            ..Numbers::default()
        }
    }

    fn entry(id: &str, price: f64) -> Entry {
        Entry {
            provider_coin_id: id.into(),
            symbol: "B".into(),
            name: "B".into(),
            slug: "b".into(),
            rank: 1,
            is_listed: true,
            profile: Profile::default(),
            numbers: numbers(price, 0.0),
            updated_at: None,
        }
    }

    proptest! {
        /// The change of a converted price is that of the prices converted at both times.
        #[test]
        fn a_change_converts_like_the_prices_that_it_compares(
            (before, after) in (1.0..1e6, 1.0..1e6), (rate_before, rate_after) in (0.1..200.0, 0.1..200.0)
        ) {
            let percent = |before: f64, after: f64| (after / before - 1.0) * 100.0;
            let of_rate = Some(percent(rate_before, rate_after));
            let rate = Rate {
                currency: "USD".into(),
                units: rate_after,
                percent_change_1h: of_rate,
                percent_change_24h: None,
                percent_change_7d: of_rate,
                percent_change_30d: None,
            };
            let converted = convert_numbers(&numbers(after, percent(before, after)), &rate);
            let expected = percent(before * rate_before, after * rate_after);
            let found = converted.percent_change_1h.unwrap();
            prop_assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0));
            prop_assert_eq!(converted.price, Some(after * rate_after));
            prop_assert_eq!((converted.percent_change_24h, converted.percent_change_7d), (None, None));
        }
    }

    #[test]
    fn one_odd_price_does_not_move_the_rate() {
        let from = [entry("1", 10.0), entry("2", 1.0), entry("3", 5.0), entry("4", 0.0)];
        let to = [entry("3", 6.5), entry("1", 999.0), entry("2", 1.3), entry("9", 7.0)];
        let (rate, changes) = rate_between(&from, &to).expect("a rate");
        assert_eq!((rate, changes.hour, changes.week), (1.3, Some(0.0), None));
        assert_eq!(rate_between(&from, &[]), None);
    }

    #[test]
    fn changes_of_one_coin_in_two_currencies_give_the_change_of_the_rate() {
        let close = |found: Option<f64>, expected: f64| (found.expect("a change") - expected).abs() < 1e-9;
        // 100 to 110 pounds, while a pound went from 1.25 to 1.3 dollars.
        let in_dollars = (110.0 * 1.3 / (100.0 * 1.25) - 1.0) * 100.0;
        assert!(close(change_of_rate(Some(10.0), Some(in_dollars)), (1.3 / 1.25 - 1.0) * 100.0));
        for (from, to) in [
            (None, Some(1.0)),
            (Some(1.0), None),
            (Some(-100.0), Some(1.0)),
            (Some(-100.0), Some(-100.0)),
            (Some(0.0), Some(101.0)),
            (Some(0.0), Some(-51.0)),
            (Some(1e9), Some(0.0)),
        ] {
            assert_eq!(change_of_rate(from, to), None, "{from:?} {to:?}");
        }
    }
}
