//! Defines the trait of market data providers and lists them. Each has a file of its own.

mod coingecko;
mod coinmarketcap;
mod coinpaprika;
pub mod demo;
mod listing;
pub mod simulation;

use std::cell::Cell;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

pub use self::listing::Wanted;
use super::{
    global::GlobalListing,
    model::{RateChanges, ReadRate, Report},
    store::Step,
};
use crate::{
    config::{Coins, ProviderSettings, ProviderSpec},
    simulation::World,
    upstream::{Advice, Failure, Limits, Upstream},
};

/// All providers. This is also the default order in which they are tried.
static PROVIDERS: &[&dyn Provider] = &[
    &coinmarketcap::WITH_KEY,
    &coingecko::CoinGecko,
    &coinmarketcap::WITHOUT_KEY,
    &coinpaprika::CoinPaprika,
    &simulation::FIRST,
    &simulation::SECOND,
    &demo::Demo,
];

/// Age from which a provider's data counts as frozen: providers renew theirs every one to five minutes.
pub const FROZEN_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Rates to other currencies, each with its changes as far as the provider states them.
pub type Rates = Vec<ReadRate>;

/// Reports the market: the coins with the largest market capitalisation, and exchange rates.
#[async_trait(?Send)]
pub trait Provider: Sync {
    /// The name and the settings, as data that `config` reads and checks.
    fn spec(&self) -> &'static ProviderSpec;

    /// The name of the ids that it reports (`coin_refs.provider`). Providers with the same namespace report the same
    /// ids.
    fn id_namespace(&self) -> &'static str;

    /// The text that its terms require beside its data.
    fn attribution(&self) -> Option<&'static str>;

    /// Whether it renews its data. The demonstration does not: it is always stale, and gives way to any other data.
    fn is_real(&self) -> bool {
        true
    }

    /// Whether it renews invented data, which gives way to data that is not invented.
    fn is_simulated(&self) -> bool {
        false
    }

    /// Fetches the top coins in one currency, and the followed ones, with one more call if need be. Followed coins that it
    /// does not know, or cannot read now, are left out.
    async fn report(&self, call: Call<'_>) -> Result<Report, Failure>;

    /// Fetches the exchange rates from the report's currency to these currencies, computed from the prices of the same
    /// coins in both. Currencies that the provider does not support are left out.
    async fn rates(&self, call: Call<'_>, report: &Report, currencies: &[String]) -> Result<Rates, Failure>;

    /// The most credits or calls that [`Provider::rates`] uses for so many currencies.
    fn cost_of_rates(&self, currencies: usize) -> usize;

    /// Its own history of coins, if it has one.
    fn past(&self) -> Option<&'static dyn Past> {
        None
    }

    /// Its list of all coins, if it has one.
    fn catalogue(&self) -> Option<&'static dyn Catalogue> {
        None
    }

    /// Its figures of the whole market, if it has them.
    fn global(&self) -> Option<&dyn Global> {
        None
    }

    /// The name in `COINS_PROVIDERS` and in `source`.
    fn name(&self) -> &'static str {
        self.spec().name
    }
}

/// Reports the past of a coin.
#[async_trait(?Send)]
pub trait Past: Sync {
    /// The lengths of the intervals in which it has a history in this currency, without a paid plan.
    fn steps(&self, currency: &str) -> &'static [Step];

    /// Fetches what it has of a coin, in intervals of this length or more often, in one call. The coin has its own id.
    async fn read(&self, call: Call<'_>, coin: &str, step: Step) -> Result<Vec<PastValue>, Failure>;
}

/// Lists the names of all coins that a provider knows.
#[async_trait(?Send)]
pub trait Catalogue: Sync {
    /// Fetches the list in one call.
    async fn read(&self, call: Call<'_>) -> Result<Vec<CatalogueCoin>, Failure>;
}

/// A coin that a provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueCoin {
    pub provider_coin_id: String,
    pub symbol: String,
    pub name: String,
    pub slug: String,
    /// By market capitalisation, if the list states it.
    pub rank: Option<i32>,
}

/// Reports figures of the whole market: of all coins of the world, not of those in the list.
#[async_trait(?Send)]
pub trait Global: Sync {
    /// Fetches them in one call, which costs one credit or call.
    async fn read_global(&self, call: Call<'_>) -> Result<GlobalListing, Failure>;
}

/// The market data of a coin at a time in the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastValue {
    pub at: DateTime<Utc>,
    pub price: f64,
    pub volume_24h: Option<f64>,
    pub market_cap: Option<f64>,
}

/// A provider with its history.
#[derive(Clone, Copy)]
pub struct PastSource {
    pub provider: &'static dyn Provider,
    pub past: &'static dyn Past,
}

/// Returns the configured providers that have a history, in the order in which they are tried.
pub fn past(settings: &Coins) -> Vec<PastSource> {
    real(settings).filter_map(|provider| Some(PastSource { provider, past: provider.past()? })).collect()
}

/// Returns the configured providers that have a list of all coins, in the order in which they are tried.
pub fn catalogues(settings: &Coins) -> impl Iterator<Item = (&'static dyn Provider, &'static dyn Catalogue)> {
    real(settings).filter_map(|provider| Some((provider, provider.catalogue()?)))
}

/// The name under which the state of a provider's figures of the whole market is stored, apart from that of its list: a
/// failure of one must not stop the other.
pub fn global_service(provider: &str) -> String {
    format!("{provider}:global")
}

/// Checks that the id of a coin can be part of a path as it is.
fn in_path(id: &str) -> Result<&str, Failure> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_plain && id.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(id);
    }
    Err(Failure::unexpected_body("the id of the coin is no part of a path"))
}

/// The parameters of a call of a provider.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub upstream: &'a Upstream,
    /// Its own address and key.
    pub settings: &'a ProviderSettings,
    /// ISO 4217 code of the amounts.
    pub currency: &'a str,
    /// Number of coins in the list.
    pub count: u32,
    /// Further coins to report, by their ids at the provider.
    pub followed: &'a [String],
    pub now: DateTime<Utc>,
    /// The simulated market, if it has begun.
    pub world: Option<World>,
    /// Credits or calls that the provider has charged; None as long as it is not known, then the estimate stays.
    pub charged: &'a Cell<Option<u32>>,
}

impl<'a> Call<'a> {
    fn wanted(&self) -> Wanted<'a> {
        Wanted { count: self.count, followed: self.followed }
    }

    /// Adds what the provider has charged.
    fn charge(&self, cost: u32) {
        self.charged.set(Some(self.charged.get().unwrap_or_default().saturating_add(cost)));
    }

    /// Makes a rate that was read now.
    fn rate(&self, currency: &str, units: f64, changes: RateChanges) -> ReadRate {
        ReadRate { currency: currency.to_owned(), units, changes, at: self.now }
    }
}

/// Returns the limits of a provider.
pub fn limits(settings: &ProviderSettings) -> Limits {
    Limits { per_day: settings.daily_budget, per_month: settings.monthly_budget }
}

/// Returns the settings of every provider.
pub fn specs() -> Vec<&'static ProviderSpec> {
    PROVIDERS.iter().map(|provider| provider.spec()).collect()
}

/// Returns the namespaces of the ids of real providers.
pub fn id_namespaces() -> Vec<&'static str> {
    let mut names: Vec<_> = PROVIDERS
        .iter()
        .filter(|provider| provider.is_real())
        .map(|provider| provider.id_namespace())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn by_name(name: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.name() == name)
}

/// Returns the configured providers of real data, in the order in which they are tried.
pub fn real(settings: &Coins) -> impl Iterator<Item = &'static dyn Provider> {
    settings.providers.iter().filter_map(|name| by_name(name)).filter(|provider| provider.is_real())
}

/// Whether a provider of real data is configured.
pub fn wants_real(settings: &Coins) -> bool {
    real(settings).next().is_some()
}

/// Whether the data of this provider is real. Stored data of a provider that is no longer in the table counts as real.
pub fn is_real(name: &str) -> bool {
    by_name(name).is_none_or(Provider::is_real)
}

/// Whether the numbers of this provider are invented.
pub fn is_invented(name: &str) -> bool {
    by_name(name).is_some_and(|provider| provider.is_simulated() || !provider.is_real())
}

/// Returns the source of the simulated market that has its turn.
pub fn simulated(world: &World, now: DateTime<Utc>) -> &'static dyn Provider {
    if world.is_second_turn(now) { &simulation::SECOND } else { &simulation::FIRST }
}

/// Returns the text that the terms of a provider require beside its data.
pub fn attribution(name: &str) -> Option<&'static str> {
    by_name(name)?.attribution()
}

/// Reads rates in several calls, each for a part of the currencies. Returns the rates of the parts that succeed; fails if
/// none does, or at once if the failure applies to the other parts as well.
async fn collect_rates<'a>(
    parts: impl Iterator<Item = &'a [String]>,
    read: impl AsyncFn(&'a [String]) -> Result<Rates, Failure>,
) -> Result<Rates, Failure> {
    let (mut rates, mut failed) = (Rates::new(), None);
    for part in parts {
        match read(part).await {
            Ok(read) => rates.extend(read),
            Err(failure) if failure.advice == Advice::BackOff => failed = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    match failed {
        Some(failure) if rates.is_empty() => Err(failure),
        _ => Ok(rates),
    }
}

#[cfg(test)]
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("fixture")
}

/// Gives a call of a provider, for tests that send nothing.
#[cfg(test)]
fn with_call(currency: &str, test: impl FnOnce(Call<'_>)) {
    let upstream = Upstream::new(std::time::Duration::from_secs(1), crate::config::Mask::new([]));
    let (settings, charged) = (ProviderSettings::default(), Cell::new(None));
    let now = DateTime::UNIX_EPOCH;
    test(Call {
        upstream: &upstream,
        settings: &settings,
        currency,
        count: 1,
        followed: &[],
        now,
        world: None,
        charged: &charged,
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::{Config, Specs};

    fn order(settings: &[(&str, &str)]) -> Vec<&'static str> {
        let lookup =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::from_lookup(&lookup, &Specs { market: specs(), ..Specs::default() })
            .expect("valid settings")
            .coins
            .providers
    }

    #[test]
    fn the_default_order_depends_on_the_key_of_coinmarketcap() {
        assert_eq!(order(&[]), ["coingecko", "coinmarketcap-public", "coinpaprika", "simulation", "demo"]);
        assert_eq!(
            order(&[("COINMARKETCAP_API_KEY", "a key")]),
            ["coinmarketcap", "coingecko", "coinpaprika", "simulation", "demo"]
        );
    }

    #[test]
    fn names_are_unique_and_only_the_demonstration_is_not_real() {
        let names: HashSet<_> = specs().iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), PROVIDERS.len());
        let unreal: Vec<_> = names.iter().filter(|name| !is_real(name)).collect();
        assert_eq!(unreal, [&demo::NAME]);
        assert!(is_real("a-provider-that-was-removed"));
    }

    #[test]
    fn real_data_is_attributed() {
        for provider in PROVIDERS {
            assert_eq!(
                attribution(provider.name()).is_none(),
                is_invented(provider.name()),
                "{}",
                provider.name()
            );
        }
    }

    async fn collected(answers: [Result<f64, Advice>; 3]) -> Result<Vec<f64>, Advice> {
        let codes = ["0", "1", "2"].map(str::to_owned);
        let read = async |part: &[String]| {
            let number: usize = part[0].parse().expect("a number");
            let rate = answers[number].map_err(|advice| Failure::new(advice, "refused"))?;
            let currency = part[0].clone();
            Ok(vec![ReadRate {
                currency,
                units: rate,
                changes: RateChanges::default(),
                at: DateTime::UNIX_EPOCH,
            }])
        };
        let rates = collect_rates(codes.chunks(1), read).await;
        rates
            .map(|rates| rates.into_iter().map(|rate| rate.units).collect())
            .map_err(|failure| failure.advice)
    }

    #[tokio::test]
    async fn a_refused_part_costs_no_other_part_its_rates() {
        let refused = Err(Advice::BackOff);
        assert_eq!(collected([Ok(1.0), refused, Ok(3.0)]).await, Ok(vec![1.0, 3.0]));
        assert_eq!(collected([refused, refused, refused]).await, Err(Advice::BackOff));
        assert_eq!(collected([Ok(1.0), Err(Advice::Stop), Ok(3.0)]).await, Err(Advice::Stop));
    }
}
