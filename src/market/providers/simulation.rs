//! Simulates a market, so that a first start without a network has data that lives, and that user interfaces can be
//! tested. Its ids are those of CoinMarketCap, so that coins keep their ids when real data replaces it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{
        global::{Classification, FearAndGreed, GlobalListing, Sourced},
        model::{Entry, Numbers, Profile, RateChanges, Report},
    },
    Call, Global, Provider, Rates, Wanted, coinmarketcap,
};
use crate::{
    config::ProviderSpec,
    simulation::{Row, World},
    upstream::{Advice, Failure},
};

/// The names of both sources.
pub const NAMES: [&str; 2] = ["simulation", "simulation-2"];
pub const ID_NAMESPACE: &str = coinmarketcap::ID_NAMESPACE;

pub static FIRST: Simulation = Simulation { spec: &SPEC };
/// Takes turns with the first one in the scenario `provider-change`.
pub static SECOND: Simulation = Simulation { spec: &SPEC_OF_SECOND };

static SPEC: ProviderSpec = ProviderSpec {
    name: NAMES[0],
    url: None,
    key: None,
    daily_budget: None,
    monthly_budget: None,
    stands_in_for: None,
};
static SPEC_OF_SECOND: ProviderSpec = ProviderSpec {
    name: NAMES[1],
    url: None,
    key: None,
    daily_budget: None,
    monthly_budget: None,
    stands_in_for: Some(NAMES[0]),
};

pub struct Simulation {
    spec: &'static ProviderSpec,
}

#[async_trait(?Send)]
impl Provider for Simulation {
    fn spec(&self) -> &'static ProviderSpec {
        self.spec
    }

    fn id_namespace(&self) -> &'static str {
        ID_NAMESPACE
    }

    fn attribution(&self) -> Option<&'static str> {
        None
    }

    fn is_simulated(&self) -> bool {
        true
    }

    async fn report(&self, call: Call<'_>) -> Result<Report, Failure> {
        report(&speaking(call)?, call.currency, call.wanted(), call.now).ok_or_else(|| unknown(call.currency))
    }

    async fn rates(&self, call: Call<'_>, report: &Report, currencies: &[String]) -> Result<Rates, Failure> {
        let world = world(call)?;
        let ratio = |code: &str, hours: i64| {
            let at = call.now - TimeDelta::hours(hours);
            Some(world.units(code, at)? / world.units(&report.currency, at)?)
        };
        let rate = |code: &String| {
            let units = ratio(code, 0)?;
            let change = |hours| Some((units / ratio(code, hours)? - 1.0) * 100.0);
            let changes = RateChanges {
                hour: change(1),
                day: change(24),
                week: change(7 * 24),
                month: change(30 * 24),
            };
            Some(call.rate(code, units, changes))
        };
        Ok(currencies.iter().filter(|code| **code != report.currency).filter_map(rate).collect())
    }

    fn cost_of_rates(&self, _: usize) -> usize {
        0
    }

    fn global(&self) -> Option<&dyn Global> {
        Some(self)
    }
}

#[async_trait(?Send)]
impl Global for Simulation {
    async fn read_global(&self, call: Call<'_>) -> Result<GlobalListing, Failure> {
        let world = speaking(call)?;
        let figures = world.figures(call.currency, call.now).ok_or_else(|| unknown(call.currency))?;
        let in_currency = |amount| vec![(call.currency.to_owned(), Some(amount))];
        let share = |(symbol, share): (&str, f64)| (symbol.to_owned(), Some(share));
        Ok(GlobalListing {
            market_cap: in_currency(figures.market_cap),
            volume_24h: in_currency(figures.volume_24h),
            market_cap_change_24h: Some((figures.market_cap_change_24h, call.currency.to_owned())),
            active_coins: Some(figures.active_coins),
            dominance: figures.dominance.into_iter().map(share).collect(),
            updated_at: Some(call.now),
        })
    }
}

/// Returns an index like that of alternative.me, for the simulated market.
pub fn fear_and_greed(world: &World, at: DateTime<Utc>) -> Sourced<FearAndGreed> {
    let value = world.mood_of_market(at);
    let classification = match value {
        0..25 => Classification::ExtremeFear,
        25..47 => Classification::Fear,
        47..55 => Classification::Neutral,
        55..76 => Classification::Greed,
        _ => Classification::ExtremeGreed,
    };
    let figures = FearAndGreed { value, classification };
    Sourced { source: NAMES[0].to_owned(), as_of: at, figures }
}

/// While no data comes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

fn world(call: Call<'_>) -> Result<World, Failure> {
    call.world.ok_or_else(|| Failure::new(Advice::BackOff, "the simulation has not begun"))
}

/// Returns the simulated market, unless its data has stopped.
fn speaking(call: Call<'_>) -> Result<World, Failure> {
    let world = world(call)?;
    if world.is_silent(call.now) {
        return Err(Failure::new(Advice::After(RETRY_AFTER), "the scenario is that no data comes"));
    }
    Ok(world)
}

fn unknown(currency: &str) -> Failure {
    Failure::new(Advice::BackOff, format!("amounts in {currency} are not simulated"))
}

/// Returns the largest coins at a time; None in an unknown currency.
pub fn report(world: &World, currency: &str, wanted: Wanted, at: DateTime<Utc>) -> Option<Report> {
    let rows = world.rows(currency, at)?;
    let is_top = |rank: i32| u32::try_from(rank).is_ok_and(|rank| rank <= wanted.count);
    let is_wanted = |entry: &Entry| entry.is_listed || wanted.followed.contains(&entry.provider_coin_id);
    let entries =
        (1..).zip(rows).map(|(rank, row)| Entry { is_listed: is_top(rank), ..entry(rank, row, at) });
    Some(Report { currency: currency.to_owned(), as_of: at, entries: entries.filter(is_wanted).collect() })
}

fn entry(rank: i32, row: Row, at: DateTime<Utc>) -> Entry {
    Entry {
        provider_coin_id: row.id.into(),
        symbol: row.symbol.into(),
        name: row.name.into(),
        slug: row.slug.into(),
        rank,
        is_listed: true,
        profile: Profile::default(),
        numbers: Numbers {
            price: row.price,
            volume_24h: row.volume_24h,
            volume_change_24h: row.volume_change_24h,
            percent_change_1h: row.percent_change_1h,
            percent_change_24h: row.percent_change_24h,
            percent_change_7d: row.percent_change_7d,
            percent_change_30d: row.percent_change_30d,
            market_cap: row.market_cap,
            circulating_supply: Some(row.circulating_supply),
            max_supply: None,
            high_24h: row.high_24h,
            low_24h: row.low_24h,
            ath: None,
            ath_at: None,
        },
        updated_at: row.price.map(|_| at),
    }
}
