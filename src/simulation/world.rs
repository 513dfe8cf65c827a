//! Shows the simulated market as a provider reports it: rows with all their numbers, and the past.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    noise::mix,
    prices::{Candle, HOUR, Moment, is_second, units},
    table::{COINS, LEAVING, NAMESAKE, Template},
};
use crate::config::{Scenario, Simulation};

/// Seconds for which a coin is in the list and then out of it.
const LEAVES_FOR: i64 = 60;
/// Seconds for which there is data, and seconds for which there is none.
const SPEAKS_FOR: i64 = 60;
const SILENT_FOR: i64 = 300;

const LONG_NAME: &str = "Stellar, the Coin with the Longest Name of All the Coins that a List Can Hold, Ever";

/// A simulated market that began at a time: scenarios are counted from then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    settings: Simulation,
    began: DateTime<Utc>,
}

/// A coin with its numbers in one currency.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its id at CoinMarketCap.
    pub id: &'static str,
    pub symbol: &'static str,
    pub name: &'static str,
    pub slug: &'static str,
    pub price: Option<f64>,
    pub volume_24h: Option<f64>,
    pub volume_change_24h: Option<f64>,
    pub percent_change_1h: Option<f64>,
    pub percent_change_24h: Option<f64>,
    pub percent_change_7d: Option<f64>,
    pub percent_change_30d: Option<f64>,
    pub market_cap: Option<f64>,
    pub circulating_supply: f64,
    /// Of the prices at each of the last 24 hours, and now.
    pub high_24h: Option<f64>,
    pub low_24h: Option<f64>,
}

/// Prices of the past, with the amounts of the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Past {
    pub candle: Candle,
    pub volume_24h: f64,
    pub market_cap: f64,
}

impl World {
    pub fn new(settings: Simulation, began: DateTime<Utc>) -> Self {
        Self { settings, began }
    }

    /// Whether the data has stopped (scenario `stale`).
    pub fn is_silent(&self, at: DateTime<Utc>) -> bool {
        let seconds = (at - self.began).num_seconds();
        self.settings.scenario == Scenario::Stale
            && seconds >= 0
            && seconds % (SPEAKS_FOR + SILENT_FOR) >= SPEAKS_FOR
    }

    /// Whether the second simulated source has its turn (scenario `provider-change`).
    pub fn is_second_turn(&self, at: DateTime<Utc>) -> bool {
        self.settings.scenario == Scenario::ProviderChange && is_second(self.began, at)
    }

    pub fn settings(&self) -> Simulation {
        self.settings
    }

    pub fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// The units of a currency for a US dollar; None for an unknown one.
    pub fn units(&self, currency: &str, at: DateTime<Utc>) -> Option<f64> {
        units(self.settings, currency, at)
    }

    /// Returns the coins by market capitalisation, the largest first; None in an unknown currency.
    pub fn rows(&self, currency: &str, at: DateTime<Utc>) -> Option<Vec<Row>> {
        let now = Quoted::new(self, currency, at)?;
        let before = |hours| Quoted::new(self, currency, at - TimeDelta::hours(hours));
        let (hour, day, week, two_days) = (before(1)?, before(24)?, before(7 * 24)?, before(48)?);
        let month = before(30 * 24)?;
        let hours: Vec<Quoted> = (1..=24).map(before).collect::<Option<_>>()?;
        let mut rows: Vec<Row> = self
            .coins(at)
            .iter()
            .map(|coin| {
                let volume = now.volume(coin, &day);
                let prices = || [&now].into_iter().chain(&hours).map(|quoted| quoted.price(coin));
                Row {
                    id: coin.id,
                    symbol: coin.symbol,
                    name: coin.name,
                    slug: coin.slug,
                    price: Some(significant(now.price(coin))),
                    volume_24h: Some(significant(volume)),
                    volume_change_24h: Some(change(volume, day.volume(coin, &two_days))),
                    percent_change_1h: Some(change(now.price(coin), hour.price(coin))),
                    percent_change_24h: Some(change(now.price(coin), day.price(coin))),
                    percent_change_7d: Some(change(now.price(coin), week.price(coin))),
                    percent_change_30d: Some(change(now.price(coin), month.price(coin))),
                    market_cap: Some(significant(now.price(coin) * coin.supply)),
                    circulating_supply: coin.supply,
                    high_24h: prices().reduce(f64::max).map(significant),
                    low_24h: prices().reduce(f64::min).map(significant),
                }
            })
            .collect();
        if self.settings.scenario == Scenario::HugeAndTiny {
            rows.iter_mut().for_each(leave_out);
        }
        rows.sort_by(|one, two| two.market_cap.unwrap_or(0.0).total_cmp(&one.market_cap.unwrap_or(0.0)));
        Some(rows)
    }

    /// Returns the past of each coin, by its id at CoinMarketCap, in US dollars: an hour each, from this hour on. Each is made
    /// of so many prices, at equal distances.
    pub fn hours(&self, from: DateTime<Utc>, count: usize, prices: u8) -> Vec<(&'static str, Vec<Past>)> {
        let prices = i64::from(prices);
        let first = from.timestamp().div_euclid(HOUR) * HOUR;
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).expect("a time near now");
        let hours = i64::try_from(count).expect("some years");
        let moments: Vec<Moment> =
            (0..hours * prices).map(|number| self.moment(at(first + number * HOUR / prices))).collect();
        let days_ago: Vec<Moment> = (-24..0).map(|hour| self.moment(at(first + hour * HOUR))).collect();
        let prices = usize::try_from(prices).expect("few");
        let of_coin = |coin: &Template| {
            let mut opens: Vec<f64> = days_ago.iter().map(|moment| moment.price(coin)).collect();
            let past = moments.chunks(prices).map(|moments| {
                let all = moments.iter().map(|moment| moment.price(coin));
                let candle = all
                    .map(|price| Candle { open: price, high: price, low: price, close: price })
                    .reduce(Candle::then)
                    .expect("at least one price");
                opens.push(candle.open);
                let before = opens[opens.len() - 25];
                let volume_24h = moments[0].volume(coin, candle.open / before - 1.0);
                Past { candle, volume_24h, market_cap: candle.close * coin.supply }
            });
            (coin.id, past.collect())
        };
        self.all_coins().iter().map(of_coin).collect()
    }

    /// The change of the price within the last hour of the market's clock: the mood of the posts depends on it.
    pub(super) fn mood(&self, coin: &Template, at: DateTime<Utc>) -> f64 {
        let hour = TimeDelta::milliseconds(HOUR * 1000 / i64::from(self.settings.speed));
        self.moment(at).price(coin) / self.moment(at - hour).price(coin) - 1.0
    }

    /// A seed for something that has a name.
    pub(super) fn seed_of(&self, name: &str) -> u64 {
        name.bytes().fold(mix(u64::from(self.settings.seed), 1), |seed, byte| mix(seed, u64::from(byte)))
    }

    fn moment(&self, at: DateTime<Utc>) -> Moment {
        Moment::new(self.settings, self.began, at)
    }

    /// The coins that are in the list at a time.
    fn coins(&self, at: DateTime<Utc>) -> Vec<Template> {
        let is_away = self.settings.scenario == Scenario::CoinLeaves
            && (at - self.began).num_seconds().max(0) / LEAVES_FOR % 2 == 1;
        let mut coins = self.all_coins();
        coins.retain(|coin| !(is_away && coin.slug == LEAVING));
        coins
    }

    fn all_coins(&self) -> Vec<Template> {
        match self.settings.scenario {
            Scenario::HugeAndTiny => COINS.into_iter().map(exaggerated).collect(),
            Scenario::Ambiguous => COINS.into_iter().chain([NAMESAKE]).collect(),
            _ => COINS.to_vec(),
        }
    }
}

/// The market at one time in one currency.
struct Quoted {
    moment: Moment,
    units: f64,
}

impl Quoted {
    fn new(world: &World, currency: &str, at: DateTime<Utc>) -> Option<Self> {
        Some(Self { moment: world.moment(at), units: world.units(currency, at)? })
    }

    fn price(&self, coin: &Template) -> f64 {
        self.moment.price(coin) * self.units
    }

    fn volume(&self, coin: &Template, day_before: &Self) -> f64 {
        let change = self.moment.price(coin) / day_before.moment.price(coin) - 1.0;
        self.moment.volume(coin, change) * self.units
    }
}

/// Gives some coins extreme numbers or long names.
fn exaggerated(coin: Template) -> Template {
    match coin.slug {
        "shiba-inu" => Template { price: 1e-9, supply: 1e24, ..coin },
        "bitcoin" => Template { price: 2e7, ..coin },
        "stellar" => Template { name: LONG_NAME, ..coin },
        "hyperliquid" => Template { symbol: "HYPERLIQUIDITY", ..coin },
        _ => coin,
    }
}

/// Leaves numbers out, or makes changes extreme.
fn leave_out(row: &mut Row) {
    match row.slug {
        "avalanche" => {
            row.volume_24h = None;
            row.volume_change_24h = None;
            row.percent_change_1h = None;
            row.percent_change_7d = None;
        }
        "hedera" => {
            row.price = None;
            row.market_cap = None;
            row.percent_change_1h = None;
            row.percent_change_24h = None;
            row.percent_change_7d = None;
            row.percent_change_30d = None;
            row.high_24h = None;
            row.low_24h = None;
        }
        "litecoin" => row.percent_change_24h = Some(1_234_567.89),
        "monero" => row.percent_change_24h = Some(-99.99),
        _ => {}
    }
}

fn change(now: f64, before: f64) -> f64 {
    significant((now / before - 1.0) * 100.0)
}

/// Rounds to eight significant digits, as providers state prices.
fn significant(value: f64) -> f64 {
    format!("{value:.7e}").parse().expect("a number as it was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: TimeDelta = TimeDelta::minutes(1);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + seconds, 0).expect("a time")
    }

    fn world(scenario: Scenario) -> World {
        World::new(Simulation { scenario, speed: 1, seed: 1 }, at(0))
    }

    fn rows(scenario: Scenario, seconds: i64) -> Vec<Row> {
        world(scenario).rows("GBP", at(seconds)).expect("a known currency")
    }

    fn row<'a>(rows: &'a [Row], slug: &str) -> &'a Row {
        rows.iter().find(|row| row.slug == slug).expect("a known coin")
    }

    #[test]
    fn changes_are_those_of_the_prices_of_the_past() {
        let now = rows(Scenario::Calm, 0);
        for (hours, of) in [
            (1, (|row| row.percent_change_1h) as fn(&Row) -> Option<f64>),
            (24, |row| row.percent_change_24h),
            (168, |row| row.percent_change_7d),
        ] {
            let before = rows(Scenario::Calm, -hours * HOUR);
            for row in &now {
                let old = super::tests::row(&before, row.slug).price.expect("a price");
                let expected = (row.price.expect("a price") / old - 1.0) * 100.0;
                assert!((of(row).expect("a change") - expected).abs() < 1e-4, "{}", row.name);
            }
        }
    }

    #[test]
    fn the_largest_come_first_and_a_market_capitalisation_is_that_of_the_supply() {
        let rows = rows(Scenario::Calm, 0);
        assert!(rows.is_sorted_by(|one, two| one.market_cap >= two.market_cap));
        for coin in &COINS {
            let row = row(&rows, coin.slug);
            let expected = row.price.expect("a price") * coin.supply;
            assert!((row.market_cap.expect("one") / expected - 1.0).abs() < 1e-6);
        }
        assert!(world(Scenario::Calm).rows("XYZ", at(0)).is_none());
    }

    #[test]
    fn the_hours_of_the_past_hold_the_prices_between_their_lowest_and_highest() {
        let world = world(Scenario::Calm);
        let start = at(0).timestamp().div_euclid(HOUR) * HOUR;
        let hours = world.hours(at(0), 30, 12);
        let (_, bitcoin) = &hours[0];
        assert_eq!((hours.len(), bitcoin.len()), (COINS.len(), 30));
        for (number, past) in (0..).zip(bitcoin) {
            let Candle { open, high, low, close } = past.candle;
            assert!(low <= open.min(close) && high >= open.max(close) && past.volume_24h > 0.0);
            for minutes in (0..60).step_by(5) {
                let at =
                    DateTime::from_timestamp(start + number * HOUR, 0).expect("a time") + MINUTE * minutes;
                let price = world.moment(at).price(&COINS[0]);
                assert!((low..=high).contains(&price));
            }
        }
        let coarse = world.hours(at(0), 30, 1);
        let open = |past: &Past| past.candle.open.to_bits();
        assert!(bitcoin.iter().zip(&coarse[0].1).all(|(fine, rough)| open(fine) == open(rough)));
    }

    #[test]
    fn a_coin_leaves_the_list_and_comes_back() {
        let has = |seconds| rows(Scenario::CoinLeaves, seconds).iter().any(|row| row.slug == LEAVING);
        assert_eq!([has(-500), has(30), has(90), has(150)], [true, true, false, true]);
    }

    #[test]
    fn the_data_stops_and_begins_again() {
        let silent = |seconds| world(Scenario::Stale).is_silent(at(seconds));
        assert_eq!(
            [silent(-1), silent(59), silent(60), silent(359), silent(360)],
            [false, false, true, true, false]
        );
        assert!(!world(Scenario::Calm).is_silent(at(100)));
    }

    #[test]
    fn two_sources_take_turns_with_a_step_in_the_price() {
        let world = world(Scenario::ProviderChange);
        assert_eq!([20, 80, 140].map(|seconds| world.is_second_turn(at(seconds))), [false, true, false]);
        let price = |scenario, seconds| rows(scenario, seconds)[0].price.expect("a price");
        let step = price(Scenario::ProviderChange, 80) / price(Scenario::Calm, 80);
        assert!((step - 1.03).abs() < 1e-6);
        let bits = |scenario| price(scenario, 20).to_bits();
        assert_eq!(bits(Scenario::ProviderChange), bits(Scenario::Calm));
    }

    #[test]
    fn numbers_are_huge_tiny_or_missing() {
        let rows = rows(Scenario::HugeAndTiny, 0);
        let price = |slug| row(&rows, slug).price;
        assert!(price("shiba-inu").is_some_and(|price| price < 2e-9));
        assert!(price("bitcoin").is_some_and(|price| price > 5e6));
        assert_eq!(price("hedera"), None);
        assert!(row(&rows, "shiba-inu").market_cap >= Some(1e15) && row(&rows, "stellar").name.len() > 80);
        assert_eq!(row(&rows, "avalanche").volume_24h, None);
    }

    #[test]
    fn two_coins_have_one_symbol() {
        let with = |scenario| rows(scenario, 0).iter().filter(|row| row.symbol == "BTC").count();
        assert_eq!((with(Scenario::Ambiguous), with(Scenario::Calm)), (2, 1));
    }
}
