//! Simulates the whole world's market: the coins of the list and a rest, which does not change.

use chrono::{DateTime, TimeDelta, Utc};

use super::world::{Row, World};

/// The market capitalisation of all other coins, in US dollars.
const CAP_OF_REST: f64 = 310e9;
/// What is traded of them in a day.
const VOLUME_OF_REST: f64 = 41e9;
const COINS: i64 = 17_312;
/// Shares of so many coins are stated.
const SHARES: usize = 10;

/// Figures of the whole simulated market.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldFigures {
    pub market_cap: f64,
    pub volume_24h: f64,
    /// In percent.
    pub market_cap_change_24h: f64,
    pub active_coins: i64,
    /// Percent of the market capitalisation by ticker symbol, the largest first.
    pub dominance: Vec<(&'static str, f64)>,
}

impl World {
    /// Returns the figures of the whole market; None in an unknown currency.
    pub fn figures(&self, currency: &str, at: DateTime<Utc>) -> Option<WorldFigures> {
        let rows = self.rows(currency, at)?;
        let units = self.units(currency, at)?;
        let market_cap = sum(&rows, |row| row.market_cap) + CAP_OF_REST * units;
        let share = |row: &Row| Some((row.symbol, rounded(row.market_cap? / market_cap * 100.0)));
        Some(WorldFigures {
            market_cap: market_cap.round(),
            volume_24h: (sum(&rows, |row| row.volume_24h) + VOLUME_OF_REST * units).round(),
            market_cap_change_24h: rounded(
                (market_cap / self.market_cap(currency, at - TimeDelta::days(1))? - 1.0) * 100.0,
            ),
            active_coins: COINS,
            dominance: rows.iter().filter_map(share).take(SHARES).collect(),
        })
    }

    /// Returns an index from 0, fear, to 100, greed, which follows the changes of the market within a day and a week.
    pub fn mood_of_market(&self, at: DateTime<Utc>) -> u8 {
        let cap = |days| self.market_cap("USD", at - TimeDelta::days(days));
        let change = |days| Some((cap(0)? / cap(days)?).ln());
        let mood = change(1).unwrap_or_default() * 4.0 + change(7).unwrap_or_default() * 2.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 100")]
        let value = 50.0f64.mul_add(mood.tanh(), 50.0).round() as u8;
        value
    }

    fn market_cap(&self, currency: &str, at: DateTime<Utc>) -> Option<f64> {
        Some(sum(&self.rows(currency, at)?, |row| row.market_cap) + CAP_OF_REST * self.units(currency, at)?)
    }
}

fn sum(rows: &[Row], amount: fn(&Row) -> Option<f64>) -> f64 {
    rows.iter().filter_map(amount).sum()
}

/// To three decimal places.
fn rounded(percent: f64) -> f64 {
    (percent * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Scenario, Simulation};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + seconds, 0).expect("a time")
    }

    fn world(scenario: Scenario) -> World {
        World::new(Simulation { scenario, speed: 1, seed: 1 }, at(0))
    }

    #[test]
    fn the_whole_market_is_larger_than_its_list_and_its_shares_are_less_than_all() {
        let world = world(Scenario::Calm);
        let figures = world.figures("GBP", at(0)).expect("a known currency");
        let listed = sum(&world.rows("GBP", at(0)).expect("rows"), |row| row.market_cap);
        assert!(figures.market_cap > listed && figures.market_cap < listed * 1.5);
        assert_eq!((figures.dominance.len(), figures.dominance[0].0), (SHARES, "BTC"));
        assert!(figures.dominance.iter().map(|(_, share)| share).sum::<f64>() < 100.0);
        let before = world.figures("GBP", at(-86_400)).expect("a known currency").market_cap;
        let change = (figures.market_cap / before - 1.0) * 100.0;
        assert!((figures.market_cap_change_24h - change).abs() < 0.001);
        assert_eq!(world.figures("XYZ", at(0)), None);
    }

    #[test]
    fn a_crash_makes_fear() {
        let world = world(Scenario::Crash);
        let (before, after) = (world.mood_of_market(at(0)), world.mood_of_market(at(3600)));
        assert!(after < 15 && after < before, "{before} {after}");
    }

    #[test]
    fn extreme_numbers_give_an_index_within_its_bounds() {
        for scenario in [Scenario::HugeAndTiny, Scenario::CoinLeaves, Scenario::ProviderChange] {
            let moods = (0..200).map(|day| world(scenario).mood_of_market(at(day * 86_400)));
            let (low, high) = moods.fold((100, 0), |(low, high), mood| (mood.min(low), mood.max(high)));
            assert!(high <= 100 && low < high, "{low} {high}");
        }
    }
}
