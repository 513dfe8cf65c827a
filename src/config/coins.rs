//! Settings of market data.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use super::{
    address,
    env::Env,
    provider::{ProviderSettings, ProviderSpec},
    simulation::Simulation,
};

/// Where market data comes from.
#[derive(Clone, Debug)]
pub struct Coins {
    /// Names of providers, in the order in which they are tried; never empty.
    pub providers: Vec<&'static str>,
    /// Of every provider that there is, by name.
    pub provider_settings: BTreeMap<&'static str, ProviderSettings>,
    /// ISO 4217 codes in upper case, at least one. Data is fetched in the first.
    pub currencies: Vec<String>,
    /// Number of coins, the largest by market capitalisation.
    pub count: u32,
    /// The most coins outside of the list that are read because users follow them.
    pub followed: u32,
    pub sync_interval: Duration,
    /// Whether the history of coins from before they were synced is read from providers.
    pub backfill: bool,
    /// Whether the names of all coins are read from a provider, for the search.
    pub catalogue: bool,
    /// Whether figures of the whole market are read from providers.
    pub global: bool,
    /// Address of the service that has the fear and greed index; None if it is turned off.
    pub fear_and_greed_url: Option<String>,
    /// Alerts on social figures of fewer posts cross only if the whole interval has crossed.
    pub alerts_min_posts: u32,
    /// As `sync_interval`, while the market is simulated: short unless the setting says otherwise, because a simulation
    /// costs nothing and is there to be watched.
    pub simulated_interval: Duration,
    pub simulation: Simulation,
    /// Timeout of a call of a provider, from connecting to the last byte.
    pub timeout: Duration,
    /// A file with ids of providers that are of one coin.
    pub identities: Option<PathBuf>,
}

const SYNC_INTERVAL: Duration = Duration::from_mins(5);
/// Between two syncs of simulated data.
const SIMULATED_INTERVAL: Duration = Duration::from_secs(10);

impl Coins {
    /// `refused` are the names of providers that must not be used here.
    pub(super) fn read(env: &mut Env, specs: &[&'static ProviderSpec], refused: &[&str]) -> Self {
        let mut urls = HashMap::new();
        let provider_settings = specs.iter().map(|spec| (spec.name, spec.read(env, &mut urls))).collect();
        let sync_interval = env.duration(
            "COINS_SYNC_INTERVAL",
            SYNC_INTERVAL,
            Duration::from_secs(1)..=Duration::from_hours(24),
        );
        let is_default = sync_interval == SYNC_INTERVAL;
        let simulated_interval = if is_default { SIMULATED_INTERVAL } else { sync_interval };
        Self {
            providers: read_providers(env, specs, &provider_settings, refused),
            provider_settings,
            currencies: read_currencies(env),
            count: env.number("COINS_COUNT", 20, 1..=250),
            followed: env.number("COINS_FOLLOWED", 250, 0..=250),
            backfill: env.switch("COINS_BACKFILL", true),
            catalogue: env.switch("COINS_CATALOGUE", true),
            global: env.switch("COINS_GLOBAL", true),
            fear_and_greed_url: read_fear_and_greed_url(env),
            alerts_min_posts: env.number("ALERTS_MIN_POSTS", 10, 1..=100),
            sync_interval,
            simulated_interval,
            simulation: Simulation::read(env),
            timeout: env.duration(
                "UPSTREAM_TIMEOUT",
                Duration::from_secs(10),
                Duration::from_secs(1)..=Duration::from_secs(10),
            ),
            identities: env.text("COINS_IDENTITIES").map(PathBuf::from),
        }
    }

    /// The settings of a provider.
    ///
    /// # Panics
    /// If the provider was not among the specifications with which the settings were read.
    pub fn settings_of(&self, provider: &str) -> &ProviderSettings {
        &self.provider_settings[provider]
    }
}

/// The default order is that of the specifications.
fn read_providers(
    env: &mut Env,
    specs: &[&'static ProviderSpec],
    settings: &BTreeMap<&'static str, ProviderSettings>,
    refused: &[&str],
) -> Vec<&'static str> {
    let missing_key = |spec: &ProviderSpec| spec.missing_key(&settings[spec.name]);
    let names: Vec<String> = env.list("COINS_PROVIDERS", "providers");
    let mut chosen: Vec<&ProviderSpec> = Vec::new();
    for name in &names {
        let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
            let known: Vec<_> = specs.iter().map(|spec| spec.name).collect();
            let expected = format!("a comma-separated list of providers: {}", known.join(", "));
            env.wrong("COINS_PROVIDERS", &expected);
            chosen.clear();
            break;
        };
        if refused.contains(&spec.name) {
            env.wrong(
                "COINS_PROVIDERS",
                &format!("without {} in production: its data is invented", spec.name),
            );
        }
        if !chosen.iter().any(|other| other.name == spec.name) {
            chosen.push(spec);
        }
    }
    for spec in &chosen {
        if let Some(setting) = missing_key(spec) {
            env.wrong(setting, &format!("set when COINS_PROVIDERS names {}", spec.name));
        }
    }
    if chosen.is_empty() {
        let is_usable = |name| specs.iter().any(|spec| spec.name == name && missing_key(spec).is_none());
        chosen.extend(
            specs
                .iter()
                .filter(|spec| !refused.contains(&spec.name))
                .filter(|spec| missing_key(spec).is_none() && !spec.stands_in_for.is_some_and(is_usable)),
        );
    }
    let chosen: Vec<_> = chosen.into_iter().map(|spec| spec.name).collect();
    env.note_default("COINS_PROVIDERS", chosen.join(","));
    chosen
}

/// `off` turns the index off.
fn read_fear_and_greed_url(env: &mut Env) -> Option<String> {
    const NAME: &str = "FEAR_AND_GREED_URL";
    const DEFAULT: &str = "https://api.alternative.me";
    env.note_default(NAME, DEFAULT);
    if env.text(NAME).is_some_and(|text| text == "off") {
        return None;
    }
    let expected = "off, or an http(s) address without a user name, a password or a query";
    Some(address::read(env, NAME, &["http", "https"], expected).unwrap_or_else(|| DEFAULT.into()))
}

/// Each currency costs credits of the provider and a response body in memory.
const MAX_CURRENCIES: usize = 10;

fn read_currencies(env: &mut Env) -> Vec<String> {
    let mut currencies: Vec<String> = env.list("COINS_CURRENCIES", "currencies");
    let is_code = |code: &String| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !currencies.iter().all(is_code) || currencies.len() > MAX_CURRENCIES {
        env.wrong("COINS_CURRENCIES", "at most 10 ISO 4217 codes such as GBP,USD");
        currencies.clear();
    }
    let mut seen = HashSet::new();
    for code in &mut currencies {
        code.make_ascii_uppercase();
    }
    currencies.retain(|code| seen.insert(code.clone()));
    if currencies.is_empty() {
        currencies.push("GBP".into());
    }
    currencies
}
