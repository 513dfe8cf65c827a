//! Computes prices in US dollars and exchange rates at any time.
//!
//! The logarithm of a price is the sum of a walk that all coins share, one of the coin's own, and rare jumps. A walk varies
//! around 0 and is bounded, so a price varies around the one in the table, for years.

use chrono::{DateTime, Utc};

use super::{
    noise::{fraction, mix, signed, walk},
    table::{CURRENCIES, Kind, Template},
};
use crate::config::{Scenario, Simulation};

/// In seconds.
pub const HOUR: i64 = 3600;
/// Walks have new values from every 8 seconds to every 99 days.
const FASTEST: u32 = 13;
const SLOWEST: u32 = 33;
/// The yearly volatility of [`walk`] with these levels, measured.
const UNIT: f64 = 0.646;
/// The yearly volatility of the whole market.
const OF_MARKET: f64 = 0.5;
/// The yearly volatility of an exchange rate.
const OF_RATES: f64 = 0.08;
/// The greatest distance of a stablecoin from its dollar.
const OF_STABLECOINS: f64 = 0.002;
/// The mean logarithmic range of the volume traded in a day.
const OF_VOLUMES: f64 = 1.5;
/// In each period a coin may jump once. The price is back after one more.
const JUMP_PERIOD: i64 = 4 * 24 * HOUR * 1000;
const JUMP_CHANCE: f64 = 0.2;
const JUMP_RISE: i64 = 20 * 60 * 1000;
/// The time in which a second simulated source takes the place of the first, and the factor of its prices.
const TURN: i64 = 60;
const STEP: f64 = 1.03;
/// Bitcoin's seed and those of the others come from their ids; these numbers are no ids.
const MARKET: u64 = 1 << 40;
const RATES: u64 = 1 << 41;
const VOLUMES: u64 = 1 << 42;
const JUMPS: u64 = 1 << 43;
const DEPTHS: u64 = 1 << 44;

/// The prices of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candle {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
}

impl Candle {
    pub fn times(self, factor: f64) -> Self {
        let Self { open, high, low, close } = self;
        Self { open: open * factor, high: high * factor, low: low * factor, close: close * factor }
    }

    /// Adds the interval that follows.
    pub fn then(self, next: Self) -> Self {
        Self {
            open: self.open,
            high: self.high.max(next.high),
            low: self.low.min(next.low),
            close: next.close,
        }
    }
}

/// What all prices at one time have in common.
#[derive(Clone, Copy)]
pub struct Moment {
    /// Milliseconds by the clock of the market, which may run faster than the real one.
    millis: i64,
    seed: u64,
    market: f64,
    /// The part of the crash that has happened, from 0 to 1.
    crash: f64,
    /// The factor of the source.
    step: f64,
}

impl Moment {
    pub fn new(settings: Simulation, began: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        let (seed, speed) = (mix(u64::from(settings.seed), 0), i64::from(settings.speed));
        let millis = at.timestamp_millis().saturating_mul(speed);
        let since = (at - began).num_milliseconds();
        let crash = match settings.scenario {
            Scenario::Crash => part(since.saturating_mul(speed), HOUR * 1000),
            _ => 0.0,
        };
        let is_second = settings.scenario == Scenario::ProviderChange && is_second(began, at);
        let market = of_volatility(OF_MARKET, seed ^ MARKET, millis) + jumps(mix(seed, MARKET), millis) / 2.0;
        Self { millis, seed, market, crash, step: if is_second { STEP } else { 1.0 } }
    }

    /// The price in US dollars.
    pub fn price(&self, coin: &Template) -> f64 {
        let own_seed = self.seed_of(coin);
        let free = match coin.kind {
            Kind::Stable => {
                return coin.price * OF_STABLECOINS.mul_add(walk(own_seed, self.millis, FASTEST, 24), 1.0);
            }
            Kind::Floating { follows, own } => {
                let own = of_volatility(own, own_seed, self.millis) + jumps(own_seed, self.millis);
                coin.price * follows.mul_add(self.market, own).exp()
            }
        };
        let depth = fraction(mix(own_seed, DEPTHS), 0).mul_add(0.3, 0.3);
        free * self.step * (1.0 - depth * self.crash)
    }

    /// The amount in US dollars that was traded within a day; more if the price has changed much.
    pub fn volume(&self, coin: &Template, change_24h: f64) -> f64 {
        let noise = walk(mix(self.seed_of(coin), VOLUMES), self.millis, 18, 31);
        let ordinary = coin.price * coin.supply * coin.turnover;
        ordinary * (OF_VOLUMES * noise).exp() * change_24h.abs().min(1.0).mul_add(6.0, 1.0)
    }

    fn seed_of(&self, coin: &Template) -> u64 {
        coin.id.bytes().fold(self.seed, |seed, byte| mix(seed, u64::from(byte)))
    }
}

/// Returns the units of a currency for a US dollar; None for an unknown one. It changes every hour, because that is how
/// often rates are read.
pub fn units(settings: Simulation, currency: &str, at: DateTime<Utc>) -> Option<f64> {
    let index = CURRENCIES.iter().position(|(code, _)| *code == currency)?;
    let (code, units) = CURRENCIES[index];
    if code == "USD" {
        return Some(1.0);
    }
    let hour = at.timestamp().div_euclid(HOUR) * HOUR;
    let millis = (hour * 1000).saturating_mul(i64::from(settings.speed));
    let seed = mix(mix(u64::from(settings.seed), RATES), u64::try_from(index).expect("a short list"));
    Some(units * of_volatility(OF_RATES, seed, millis).exp())
}

/// Whether the second simulated source has its turn, in the scenario `provider-change`.
pub fn is_second(began: DateTime<Utc>, at: DateTime<Utc>) -> bool {
    (at - began).num_seconds().max(0) / TURN % 2 == 1
}

fn of_volatility(yearly: f64, seed: u64, millis: i64) -> f64 {
    yearly / UNIT * walk(seed, millis, FASTEST, SLOWEST)
}

/// Returns the sum of the jumps that have not faded: each comes within minutes and fades within days.
fn jumps(seed: u64, millis: i64) -> f64 {
    let seed = mix(seed, JUMPS);
    let period = millis.div_euclid(JUMP_PERIOD);
    let of_period = |period: i64| {
        let seed = mix(seed, period.cast_unsigned());
        if fraction(seed, 0) >= JUMP_CHANCE {
            return 0.0;
        }
        let delay = i64::try_from(mix(seed, 1) >> 1).unwrap_or(0) % JUMP_PERIOD;
        let since = millis - period * JUMP_PERIOD - delay;
        if !(0..JUMP_PERIOD).contains(&since) {
            return 0.0;
        }
        let size = signed(seed, 2);
        let size = size.mul_add(0.08, size.signum() * 0.03);
        size * part(since, JUMP_RISE) * (1.0 - part(since, JUMP_PERIOD))
    };
    of_period(period) + of_period(period - 1)
}

/// Returns the part of `all` that is over, from 0 to 1.
fn part(since: i64, all: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most some days of milliseconds")]
    let part = since.clamp(0, all) as f64 / all as f64;
    part
}

#[cfg(test)]
mod tests {
    use super::{super::table::COINS, *};

    fn settings(seed: u32) -> Simulation {
        Simulation { scenario: Scenario::Calm, speed: 1, seed }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + seconds, 0).expect("a time")
    }

    fn price(seed: u32, coin: &Template, seconds: i64) -> f64 {
        Moment::new(settings(seed), at(0), at(seconds)).price(coin)
    }

    fn changes(seed: u32, coin: &Template, step: i64, count: i64) -> Vec<f64> {
        (0..count)
            .map(|number| (price(seed, coin, (number + 1) * step) / price(seed, coin, number * step)).ln())
            .collect()
    }

    fn deviation(values: &[f64]) -> f64 {
        let count = f64::from(u32::try_from(values.len()).expect("few"));
        let mean = values.iter().sum::<f64>() / count;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt()
    }

    #[test]
    fn a_year_looks_like_a_market() {
        for coin in COINS.iter().filter(|coin| coin.kind != Kind::Stable) {
            let volatilities: Vec<f64> =
                (0..8).map(|seed| deviation(&changes(seed, coin, 86_400, 365)) * 365_f64.sqrt()).collect();
            let mean = volatilities.iter().sum::<f64>() / 8.0;
            assert!((0.4..1.2).contains(&mean), "{}: {mean}", coin.name);
        }
    }

    #[test]
    fn prices_stay_around_those_of_the_table() {
        for coin in &COINS {
            for seed in 0..3 {
                for day in 0..1500 {
                    let ratio = price(seed, coin, day * 86_400) / coin.price;
                    assert!((0.2..5.0).contains(&ratio), "{}: {ratio}", coin.name);
                    if coin.kind == Kind::Stable {
                        assert!((0.998..=1.002).contains(&ratio), "{}: {ratio}", coin.name);
                    }
                }
            }
        }
    }

    #[test]
    fn a_slot_differs_little_from_the_one_before_and_still_differs() {
        for coin in &COINS {
            let changes = changes(1, coin, 10, 2000);
            assert!(changes.iter().all(|change| change.abs() < 0.01), "{}", coin.name);
            assert!(changes.iter().any(|change| *change != 0.0), "{}", coin.name);
        }
    }

    #[test]
    fn coins_move_with_bitcoin() {
        let bitcoin = changes(1, &COINS[0], 86_400, 365);
        for coin in COINS[1..].iter().filter(|coin| coin.kind != Kind::Stable) {
            let other = changes(1, coin, 86_400, 365);
            let product: f64 = bitcoin.iter().zip(&other).map(|(one, two)| one * two).sum();
            let correlation = product / (deviation(&bitcoin) * deviation(&other) * 364.0);
            assert!((0.2..0.99).contains(&correlation), "{}: {correlation}", coin.name);
        }
    }

    #[test]
    fn seeds_are_other_markets_and_a_fast_market_is_the_same_one() {
        let bitcoin = &COINS[0];
        let bits = |seed| price(seed, bitcoin, 500).to_bits();
        assert_eq!(bits(1), bits(1));
        assert_ne!(bits(1), bits(2));
        let fast = Simulation { speed: 3600, ..settings(1) };
        let fast = Moment::new(fast, at(0), DateTime::from_timestamp(1_000_000, 0).expect("a time"));
        let slow = DateTime::from_timestamp(3_600_000_000, 0).expect("a time");
        let slow = Moment::new(settings(1), at(0), slow);
        assert_eq!(fast.price(bitcoin).to_bits(), slow.price(bitcoin).to_bits());
    }

    #[test]
    fn rates_change_little_and_a_dollar_is_a_dollar() {
        for (code, units) in CURRENCIES {
            let rate = |seconds| super::units(settings(1), code, at(seconds)).expect("a rate");
            for hour in 0..2000 {
                assert!((rate(hour * HOUR) / rate((hour + 1) * HOUR)).ln().abs() < 0.02);
                assert!((rate(hour * HOUR) / units).ln().abs() < 0.2);
            }
        }
        assert_eq!(super::units(settings(1), "USD", at(0)), Some(1.0));
        assert_eq!(super::units(settings(1), "XYZ", at(0)), None);
    }

    #[test]
    fn in_a_crash_everything_but_stablecoins_falls_by_30_to_60_percent_within_an_hour() {
        let crash = Simulation { scenario: Scenario::Crash, ..settings(1) };
        for coin in &COINS {
            let part = |seconds| Moment::new(crash, at(0), at(seconds)).price(coin) / price(1, coin, seconds);
            assert_eq!((part(-60), part(0)), (1.0, 1.0));
            let expected = if coin.kind == Kind::Stable { 1.0..=1.0 } else { 0.4..=0.7 };
            let (after_an_hour, later) = (part(HOUR), part(9 * HOUR));
            assert!(expected.contains(&after_an_hour), "{}: {after_an_hour}", coin.name);
            assert!((after_an_hour - later).abs() < 1e-9, "{}", coin.name);
        }
    }
}
