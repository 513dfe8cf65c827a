//! Defines figures of the whole market, of all coins of the world, and checks what sources report of it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plausible::{self, positive};
use crate::upstream::{Failure, clean};

/// The subjects of `global_figures`, which are read apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Market,
    FearAndGreed,
}

impl Subject {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::FearAndGreed => "fear_and_greed",
        }
    }
}

/// Figures with the source that reported them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sourced<T> {
    pub source: String,
    /// When they were current, according to the source.
    pub as_of: DateTime<Utc>,
    pub figures: T,
}

/// Figures of all coins of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalFigures {
    /// By ISO 4217 code; at least one.
    pub market_cap: BTreeMap<String, f64>,
    /// By ISO 4217 code.
    pub volume_24h: BTreeMap<String, f64>,
    pub market_cap_change_24h: Option<MarketCapChange>,
    pub active_coins: Option<i64>,
    /// Shares of the market capitalisation in percent, by ticker symbol.
    pub dominance: BTreeMap<String, f64>,
}

/// By how many percent the market capitalisation has changed within 24 hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketCapChange {
    pub percent: f64,
    /// ISO 4217 code of the amounts that are compared.
    pub currency: String,
}

/// An index of the mood of the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FearAndGreed {
    /// From 0, fear, to 100, greed.
    pub value: u8,
    pub classification: Classification,
}

/// The source's class of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Classification {
    ExtremeFear,
    Fear,
    Neutral,
    Greed,
    ExtremeGreed,
}

/// What is stored of the whole market.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    pub market: Option<Sourced<GlobalFigures>>,
    pub fear_and_greed: Option<Sourced<FearAndGreed>>,
    /// Units of each currency for one of the newest snapshot's, by ISO 4217 code.
    pub rates: HashMap<String, f64>,
}

impl Global {
    /// Returns an amount in this currency: as the source states it, or else converted by the rates of the newest snapshot.
    pub fn amount(&self, amounts: &BTreeMap<String, f64>, currency: &str) -> Option<f64> {
        let convert = || {
            let to = self.rates.get(currency)?;
            amounts.iter().find_map(|(code, amount)| Some(amount * to / self.rates.get(code)?))
        };
        amounts.get(currency).copied().or_else(convert).filter(|amount| amount.is_finite())
    }
}

/// What a provider reports of the whole market, unchecked.
#[derive(Default)]
pub struct GlobalListing {
    /// By the code of the currency, in capitals or not.
    pub market_cap: Vec<(String, Option<f64>)>,
    pub volume_24h: Vec<(String, Option<f64>)>,
    pub market_cap_change_24h: Option<(f64, String)>,
    pub active_coins: Option<i64>,
    /// In percent, by ticker symbol, in capitals or not.
    pub dominance: Vec<(String, Option<f64>)>,
    pub updated_at: Option<DateTime<Utc>>,
}

/// In percent, for the whole market within a day.
const MAX_CHANGE: f64 = 1000.0;
/// More coins than there can be.
const MAX_COINS: i64 = 1_000_000_000;
/// In characters.
const MAX_SYMBOL_LEN: usize = 20;
/// Providers state the shares of ten coins, or of two.
const MAX_SHARES: usize = 30;
/// The sum of shares that are rounded, in percent.
const MAX_SUM_OF_SHARES: f64 = 101.0;
/// Figures that are older are refused: the next provider may have newer ones.
const MAX_AGE: TimeDelta = TimeDelta::hours(3);

impl GlobalListing {
    /// Checks the figures. Those that are impossible are left out; without a market capitalisation, or if they are old, all
    /// are refused. Of the amounts, those in the `wanted` currencies are kept, and those in US dollars to convert.
    pub fn check(
        self,
        wanted: &[String],
        source: &str,
        now: DateTime<Utc>,
    ) -> Result<Sourced<GlobalFigures>, Failure> {
        let amounts = |listed: Vec<(String, Option<f64>)>| -> BTreeMap<String, f64> {
            let known = listed.into_iter().map(|(code, amount)| (code.to_uppercase(), amount));
            let kept = known.filter(|(code, _)| code == "USD" || wanted.contains(code));
            kept.filter_map(|(code, amount)| Some((code, positive(amount)?))).collect()
        };
        let market_cap = amounts(self.market_cap);
        if market_cap.is_empty() {
            return Err(Failure::unexpected_body("no possible market capitalisation"));
        }
        let as_of = plausible::time(self.updated_at, now).unwrap_or(now);
        if now - as_of > MAX_AGE {
            return Err(Failure::unexpected_body("the figures of the whole market are old"));
        }
        let change =
            self.market_cap_change_24h.filter(|(percent, _)| (-100.0..=MAX_CHANGE).contains(percent));
        let figures = GlobalFigures {
            market_cap,
            volume_24h: amounts(self.volume_24h),
            market_cap_change_24h: change.map(|(percent, currency)| MarketCapChange { percent, currency }),
            active_coins: self.active_coins.filter(|count| (1..=MAX_COINS).contains(count)),
            dominance: shares(self.dominance),
        };
        Ok(Sourced { source: source.to_owned(), as_of, figures })
    }
}

/// Returns the possible shares; none if they add up to more than the whole.
fn shares(listed: Vec<(String, Option<f64>)>) -> BTreeMap<String, f64> {
    let share = |(symbol, percent): (String, Option<f64>)| {
        let symbol = clean(&symbol.to_uppercase(), MAX_SYMBOL_LEN);
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent))?;
        (!symbol.is_empty()).then_some((symbol, percent))
    };
    let shares: BTreeMap<_, _> = listed.into_iter().filter_map(share).take(MAX_SHARES).collect();
    if shares.values().sum::<f64>() > MAX_SUM_OF_SHARES { BTreeMap::new() } else { shares }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T10:00:00Z".parse().expect("a time")
    }

    fn pairs(of: &[(&str, f64)]) -> Vec<(String, Option<f64>)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), Some(*value))).collect()
    }

    fn listing(caps: &[(&str, f64)]) -> GlobalListing {
        GlobalListing { market_cap: pairs(caps), ..GlobalListing::default() }
    }

    fn check(listing: GlobalListing) -> Result<Sourced<GlobalFigures>, Failure> {
        listing.check(&["GBP".to_owned(), "EUR".to_owned()], "one", now())
    }

    #[test]
    fn amounts_in_wanted_currencies_and_in_dollars_are_kept() {
        let found =
            check(listing(&[("gbp", 1.5), ("usd", 2.0), ("EUR", -1.0), ("jpy", 3.0)])).expect("figures");
        let expected = [("GBP".to_owned(), 1.5), ("USD".to_owned(), 2.0)];
        assert_eq!(found.figures.market_cap, BTreeMap::from(expected));
        assert_eq!((found.as_of, found.source.as_str()), (now(), "one"));
    }

    #[test]
    fn impossible_figures_are_left_out_and_without_a_market_capitalisation_all_are_refused() {
        for wrong in [0.0, -1.0, 1e22, f64::INFINITY, f64::NAN] {
            assert!(check(listing(&[("gbp", wrong)])).is_err(), "{wrong}");
        }
        assert!(check(listing(&[("jpy", 3.0)])).is_err());
        let odd = GlobalListing {
            market_cap_change_24h: Some((-101.0, "USD".into())),
            active_coins: Some(-5),
            volume_24h: pairs(&[("gbp", f64::NAN)]),
            dominance: pairs(&[("btc", 58.1), ("eth", -1.0), ("", 2.0), ("sol", 101.0)]),
            ..listing(&[("gbp", 1.0)])
        };
        let figures = check(odd).expect("figures").figures;
        assert_eq!((figures.market_cap_change_24h, figures.active_coins), (None, None));
        assert!(figures.volume_24h.is_empty());
        assert_eq!(figures.dominance, BTreeMap::from([("BTC".to_owned(), 58.1)]));
        let too_much =
            GlobalListing { dominance: pairs(&[("btc", 90.0), ("eth", 12.0)]), ..listing(&[("gbp", 1.0)]) };
        assert!(check(too_much).expect("figures").figures.dominance.is_empty());
    }

    #[test]
    fn old_figures_are_refused_and_times_in_the_future_count_as_now() {
        let at = |hours: i64| {
            let updated_at = Some(now() + TimeDelta::hours(hours));
            check(GlobalListing { updated_at, ..listing(&[("gbp", 1.0)]) }).map(|found| found.as_of)
        };
        assert_eq!((at(-3), at(5)), (Ok(now() - TimeDelta::hours(3)), Ok(now())));
        assert!(at(-4).is_err());
    }

    #[test]
    fn an_amount_is_converted_by_the_rates_only_if_the_source_lacks_the_currency() {
        let rates = [("GBP", 1.0), ("USD", 1.25), ("EUR", 1.5)];
        let global = Global {
            rates: rates.into_iter().map(|(code, rate)| (code.to_owned(), rate)).collect(),
            ..Global::default()
        };
        let dollars = BTreeMap::from([("USD".to_owned(), 2.5)]);
        assert_eq!(global.amount(&dollars, "USD"), Some(2.5));
        assert_eq!((global.amount(&dollars, "GBP"), global.amount(&dollars, "EUR")), (Some(2.0), Some(3.0)));
        assert_eq!(global.amount(&dollars, "JPY"), None);
        assert_eq!(global.amount(&BTreeMap::from([("JPY".to_owned(), 2.5)]), "GBP"), None);
    }
}
