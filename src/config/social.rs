//! Settings of social sources, which each provider of posts declares as data.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf};

use super::{
    address,
    env::{Env, Secret},
};

/// Declares the name of a provider of posts and its settings, as [`ProviderSpec`](super::ProviderSpec) does for market
/// data.
#[derive(Debug)]
pub struct SocialSpec {
    /// The name in `SOCIAL_PROVIDERS` and in `social.sources`.
    pub name: &'static str,
    /// Whether it is read without `SOCIAL_PROVIDERS`.
    pub is_default: bool,
    /// None for a provider that makes no calls.
    pub urls: Option<UrlsSpec>,
    /// Setting of the key, which is required to read the provider; None for a provider without a key.
    pub key: Option<&'static str>,
    /// None for a provider without a limit.
    pub daily_budget: Option<BudgetSpec>,
}

/// Declares the addresses of a provider.
#[derive(Debug)]
pub struct UrlsSpec {
    pub setting: &'static str,
    /// Comma-separated.
    pub default: &'static str,
    pub schemes: &'static [&'static str],
    /// At least one is required. Each is queried for each coin.
    pub max: usize,
}

/// Declares the number of posts per UTC day.
#[derive(Debug)]
pub struct BudgetSpec {
    pub setting: &'static str,
    pub default: u32,
    pub range: RangeInclusive<u32>,
}

/// Where posts about coins come from.
#[derive(Clone, Debug)]
pub struct Social {
    /// Names of providers; empty if no source is read.
    pub providers: Vec<&'static str>,
    /// Of every provider that there is, by name.
    pub provider_settings: BTreeMap<&'static str, SocialSettings>,
    /// A JSON file with search terms that replace the built-in ones.
    pub queries: Option<PathBuf>,
}

/// The addresses, key and budget of a provider.
#[derive(Clone, Debug)]
pub struct SocialSettings {
    /// At least one and at most [`UrlsSpec::max`], without trailing slashes; none of a provider that makes no calls.
    pub urls: Vec<String>,
    pub key: Option<Secret>,
    /// Posts per UTC day; None: no limit.
    pub daily_budget: Option<u32>,
}

impl Social {
    /// `refused` are the names of providers that must not be used here.
    pub(super) fn read(env: &mut Env, specs: &[&'static SocialSpec], refused: &[&str]) -> Self {
        let provider_settings: BTreeMap<_, _> =
            specs.iter().map(|spec| (spec.name, spec.read(env))).collect();
        let chosen = choose_providers(env, specs);
        for spec in &chosen {
            if refused.contains(&spec.name) {
                env.wrong(
                    "SOCIAL_PROVIDERS",
                    &format!("without {} in production: its data is invented", spec.name),
                );
            }
            if let (Some(setting), None) = (spec.key, &provider_settings[spec.name].key) {
                env.wrong(setting, &format!("set when SOCIAL_PROVIDERS names {}", spec.name));
            }
        }
        Self {
            providers: chosen.into_iter().map(|spec| spec.name).collect(),
            provider_settings,
            queries: env.text("SOCIAL_QUERIES").map(PathBuf::from),
        }
    }

    /// The settings of a provider.
    ///
    /// # Panics
    /// If the provider was not among the specifications with which the settings were read.
    pub fn settings_of(&self, provider: &str) -> &SocialSettings {
        &self.provider_settings[provider]
    }
}

impl SocialSettings {
    /// The address of a provider that has one.
    pub fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }
}

/// `none` chooses no provider.
fn choose_providers(env: &mut Env, specs: &[&'static SocialSpec]) -> Vec<&'static SocialSpec> {
    let Some(text) = env.text("SOCIAL_PROVIDERS") else {
        return specs.iter().copied().filter(|spec| spec.is_default).collect();
    };
    if text == "none" {
        return Vec::new();
    }
    let mut chosen: Vec<&SocialSpec> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let Some(spec) = specs.iter().copied().find(|spec| spec.name == name) else {
            let known: Vec<_> = specs.iter().map(|spec| spec.name).collect();
            env.wrong("SOCIAL_PROVIDERS", &format!("none, or a list of {}", known.join(", ")));
            return Vec::new();
        };
        if !chosen.iter().any(|other| other.name == name) {
            chosen.push(spec);
        }
    }
    chosen
}

impl SocialSpec {
    fn read(&self, env: &mut Env) -> SocialSettings {
        SocialSettings {
            urls: self.urls.as_ref().map(|urls| urls.read(env)).unwrap_or_default(),
            key: self.key.and_then(|setting| env.secret(setting)),
            daily_budget: self
                .daily_budget
                .as_ref()
                .map(|budget| env.number(budget.setting, budget.default, budget.range.clone())),
        }
    }
}

impl UrlsSpec {
    /// Reads the addresses. Of several with the same host the first counts, since the host is the name of a source.
    fn read(&self, env: &mut Env) -> Vec<String> {
        let text = env.text(self.setting).unwrap_or_else(|| self.default.into());
        let host =
            |url: &str| url.split_once("://").map_or_else(String::new, |(_, host)| host.to_lowercase());
        let mut urls: Vec<String> = Vec::new();
        for url in text.split(',').map(|url| url.trim().trim_end_matches('/')) {
            if !url.is_empty() && !urls.iter().any(|known| host(known) == host(url)) {
                urls.push(url.to_owned());
            }
        }
        let are_valid = urls.iter().all(|url| address::parse(url, self.schemes).is_some());
        if !are_valid || urls.is_empty() || urls.len() > self.max {
            let number = match self.max {
                1 => "an address that begins".to_owned(),
                max => format!("1 to {max} addresses that begin"),
            };
            let schemes = self.schemes.join(":// or ");
            let expected = format!("{number} with {schemes}://, without a user name, a password or a query");
            env.wrong(self.setting, &expected);
        }
        urls
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Config, ConfigError, Specs},
        *,
    };

    const ONE: UrlsSpec =
        UrlsSpec { setting: "A_URL", default: "wss://a.example.com", schemes: &["ws", "wss"], max: 1 };
    const MANY: UrlsSpec = UrlsSpec {
        setting: "B_URLS",
        default: "https://b.example.com,https://c.example.com",
        schemes: &["http", "https"],
        max: 2,
    };
    static WITH_KEY: SocialSpec = SocialSpec {
        name: "a",
        is_default: false,
        urls: Some(ONE),
        key: Some("A_KEY"),
        daily_budget: Some(BudgetSpec { setting: "A_BUDGET", default: 10, range: 5..=20 }),
    };
    static DEFAULT: SocialSpec =
        SocialSpec { name: "b", is_default: true, urls: Some(MANY), key: None, daily_budget: None };

    fn with(settings: &[(&str, &str)]) -> Result<Social, Vec<String>> {
        let lookup =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let specs = Specs { social: vec![&WITH_KEY, &DEFAULT], ..Specs::default() };
        Config::from_lookup(&lookup, &specs).map(|config| config.social).map_err(|ConfigError(errors)| errors)
    }

    #[test]
    fn providers_are_chosen_by_name_and_each_has_its_settings() {
        let chosen = |settings: &[(&str, &str)]| with(settings).expect("valid").providers;
        assert_eq!(chosen(&[]), ["b"]);
        assert_eq!(chosen(&[("SOCIAL_PROVIDERS", "none")]), [""; 0]);
        assert_eq!(chosen(&[("SOCIAL_PROVIDERS", "b, a,b"), ("A_KEY", "one")]), ["b", "a"]);

        let social = with(&[("A_BUDGET", "7"), ("B_URLS", "https://d/, https://D,http://d")]).expect("valid");
        let (a, b) = (social.settings_of("a"), social.settings_of("b"));
        assert_eq!((a.urls.as_slice(), a.daily_budget), (&["wss://a.example.com".to_owned()][..], Some(7)));
        assert_eq!((b.urls.as_slice(), b.daily_budget), (&["https://d".to_owned()][..], None));
    }

    #[test]
    fn a_wrong_setting_is_reported_with_what_it_must_be() {
        let errors = |name, value| with(&[(name, value)]).expect_err("wrong");
        for unknown in ["c", "B", "b,none", "b;a"] {
            assert_eq!(
                errors("SOCIAL_PROVIDERS", unknown),
                ["SOCIAL_PROVIDERS must be none, or a list of a, b"]
            );
        }
        assert_eq!(errors("SOCIAL_PROVIDERS", "a"), ["A_KEY must be set when SOCIAL_PROVIDERS names a"]);
        assert_eq!(errors("A_BUDGET", "21"), ["A_BUDGET must be a number from 5 to 20"]);
        for wrong in ["https://a", "wss://a,wss://b", "wss://user@a", ","] {
            let expected =
                "an address that begins with ws:// or wss://, without a user name, a password or a query";
            assert_eq!(errors("A_URL", wrong), [format!("A_URL must be {expected}")]);
        }
        for wrong in ["https://a,https://b,https://c", "https://a,wss://b", "https://a?key=b"] {
            let expected = "1 to 2 addresses that begin with http:// or https://, without a user name, a password \
                or a query";
            assert_eq!(errors("B_URLS", wrong), [format!("B_URLS must be {expected}")]);
        }
    }
}
