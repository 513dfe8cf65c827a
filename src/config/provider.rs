//! Reads the settings of market data providers, which each provider declares as data.

use std::collections::HashMap;

use super::{
    address,
    env::{Env, Secret},
};

/// Declares the name of a provider and the names of its settings.
#[derive(Debug)]
pub struct ProviderSpec {
    /// The name in `COINS_PROVIDERS` and in `source`.
    pub name: &'static str,
    /// None for a provider that makes no calls. Two providers may share the setting of an address.
    pub url: Option<UrlSpec>,
    /// None for a provider without a key.
    pub key: Option<KeySpec>,
    /// Setting of the credits or calls per UTC day; None for a provider without a limit.
    pub daily_budget: Option<&'static str>,
    /// As `daily_budget`, per UTC month.
    pub monthly_budget: Option<&'static str>,
    /// A provider that makes this one needless: this one is in the default order only without the key of that one.
    pub stands_in_for: Option<&'static str>,
}

/// Declares the address of a provider.
#[derive(Debug)]
pub struct UrlSpec {
    pub setting: &'static str,
    pub default: &'static str,
}

/// Declares the key of a provider.
#[derive(Debug)]
pub struct KeySpec {
    pub setting: &'static str,
    /// Whether the provider cannot be used without its key.
    pub is_required: bool,
    /// The choice between a free and a paid plan, if the provider treats their keys differently.
    pub plan: Option<PlanSpec>,
}

/// Declares the choice between a free and a paid plan.
#[derive(Debug)]
pub struct PlanSpec {
    pub setting: &'static str,
    /// The default value of the setting.
    pub free: &'static str,
    /// The value of the setting that requires a key.
    pub paid: &'static str,
    /// The default address with the paid plan.
    pub paid_url: &'static str,
}

/// The address, key and budget of a provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// Without a trailing slash; empty for a provider that makes no calls.
    pub url: String,
    pub key: Option<Secret>,
    pub has_paid_plan: bool,
    /// Credits or calls per UTC day; None: no limit.
    pub daily_budget: Option<u32>,
    /// Per UTC month.
    pub monthly_budget: Option<u32>,
}

impl ProviderSpec {
    /// Reads the settings. `urls` holds the addresses that were read for other providers: a wrong one is reported once.
    pub(super) fn read(&self, env: &mut Env, urls: &mut HashMap<&'static str, String>) -> ProviderSettings {
        let plan = self.key.as_ref().and_then(|key| key.plan.as_ref());
        let has_paid_plan = plan
            .is_some_and(|plan| env.choice(plan.setting, false, &[(plan.free, false), (plan.paid, true)]));
        let paid = plan.filter(|_| has_paid_plan);
        let url = self.url.as_ref().map(|url| {
            let default = paid.map_or(url.default, |plan| plan.paid_url);
            urls.entry(url.setting).or_insert_with(|| read_url(env, url.setting, default)).clone()
        });
        let key = self.key.as_ref().and_then(|key| env.secret(key.setting));
        if let (Some(spec), Some(plan), None) = (&self.key, paid, &key) {
            env.wrong(spec.setting, &format!("set when {} is {}", plan.setting, plan.paid));
        }
        ProviderSettings {
            url: url.unwrap_or_default(),
            key,
            has_paid_plan,
            daily_budget: self.daily_budget.and_then(|setting| read_budget(env, setting)),
            monthly_budget: self.monthly_budget.and_then(|setting| read_budget(env, setting)),
        }
    }

    /// The setting that the provider cannot be used without and that is not set.
    pub(super) fn missing_key(&self, settings: &ProviderSettings) -> Option<&'static str> {
        let required = self.key.as_ref().filter(|key| key.is_required && settings.key.is_none());
        required.map(|key| key.setting)
    }
}

fn read_url(env: &mut Env, name: &'static str, default: &str) -> String {
    let expected = "an http(s) address without a user name, a password or a query";
    env.note_default(name, default);
    address::read(env, name, &["http", "https"], expected).unwrap_or_else(|| default.into())
}

fn read_budget(env: &mut Env, name: &'static str) -> Option<u32> {
    let budget = env.number(name, 0, 0..=1_000_000);
    (budget > 0).then_some(budget)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Config, ConfigError, Specs},
        *,
    };

    const fn plain(name: &'static str) -> ProviderSpec {
        ProviderSpec {
            name,
            url: None,
            key: None,
            daily_budget: None,
            monthly_budget: None,
            stands_in_for: None,
        }
    }

    const URL: UrlSpec = UrlSpec { setting: "A_URL", default: "https://a.example.com" };
    const PLAN: PlanSpec =
        PlanSpec { setting: "A_PLAN", free: "free", paid: "paid", paid_url: "https://paid.example.com" };
    static WITH_KEY: ProviderSpec = ProviderSpec {
        url: Some(URL),
        key: Some(KeySpec { setting: "A_KEY", is_required: true, plan: Some(PLAN) }),
        daily_budget: Some("A_BUDGET"),
        monthly_budget: Some("A_MONTHLY_BUDGET"),
        ..plain("a")
    };
    static WITHOUT_KEY: ProviderSpec =
        ProviderSpec { url: Some(URL), stands_in_for: Some("a"), ..plain("a-public") };
    static LAST: ProviderSpec = plain("last");

    fn with(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let lookup =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let market = vec![&WITH_KEY, &WITHOUT_KEY, &LAST];
        Config::from_lookup(&lookup, &Specs { market, ..Specs::default() })
    }

    #[test]
    fn the_default_order_is_that_of_the_table_without_what_lacks_its_key_or_is_needless() {
        let order = |settings: &[(&str, &str)]| with(settings).expect("valid").coins.providers;
        assert_eq!(order(&[]), ["a-public", "last"]);
        assert_eq!(order(&[("A_KEY", "one")]), ["a", "last"]);
        assert_eq!(order(&[("COINS_PROVIDERS", "last, a-public,last")]), ["last", "a-public"]);
    }

    #[test]
    fn a_paid_plan_changes_the_default_address() {
        let coins = with(&[("A_KEY", "one"), ("A_PLAN", "PAID"), ("A_BUDGET", "7")]).expect("valid").coins;
        let own = coins.settings_of("a");
        assert_eq!((own.url.as_str(), own.daily_budget), ("https://paid.example.com", Some(7)));
        assert!(own.has_paid_plan);
    }

    #[test]
    fn wrong_settings_of_providers_are_reported_once_each() {
        let errors = |settings: &[(&str, &str)]| with(settings).expect_err("wrong").0;
        assert_eq!(errors(&[("A_PLAN", "paid")]), ["A_KEY must be set when A_PLAN is paid"]);
        assert_eq!(errors(&[("COINS_PROVIDERS", "a")]), ["A_KEY must be set when COINS_PROVIDERS names a"]);
        for unknown in ["b", "A", "a;last"] {
            assert_eq!(
                errors(&[("COINS_PROVIDERS", unknown)]),
                ["COINS_PROVIDERS must be a comma-separated list of providers: a, a-public, last"]
            );
        }
        assert_eq!(
            errors(&[("A_URL", "https://user@a.example.com")]),
            ["A_URL must be an http(s) address without a user name, a password or a query"]
        );
    }
}
