//! Typed settings, one file per concern. Nothing else in the program reads the environment.
//!
//! `.env.example` documents every setting and its default.

mod accounts;
mod address;
mod coins;
mod database;
mod dotenv;
mod env;
mod limits;
mod listing;
mod log;
mod mail;
mod mask;
mod provider;
mod registration;
mod secret_key;
mod security;
mod server;
mod simulation;
mod social;
mod storage;
mod strength;
mod unknown;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

pub use self::{
    accounts::Accounts,
    address::is_this_computer,
    coins::Coins,
    database::Database,
    env::Secret,
    limits::{CodeLimits, MailLimits, PasswordLimits, RateLimit, Rates},
    listing::Setting,
    log::{Log, LogFormat},
    mail::{Mail, MailSecurity, MailTransport, Smtp},
    mask::Mask,
    provider::{KeySpec, PlanSpec, ProviderSettings, ProviderSpec, UrlSpec},
    registration::{DomainPattern, Registration, RegistrationMode},
    secret_key::{SecretKey, SecretKeyError},
    security::{Passwords, SigningAlgorithm, Tokens},
    server::{ForwardedBy, Server, Tls},
    simulation::{Scenario, Simulation},
    social::{BudgetSpec, Social, SocialSettings, SocialSpec, UrlsSpec},
    storage::{S3, Storage},
};

/// `production` refuses settings that are only acceptable on a developer's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Development,
    Production,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    pub profile: Profile,
    /// For the embedded cluster, the local secret key, stored files and mails as files.
    pub data_dir: PathBuf,
    pub secret_key: Option<SecretKey>,
    pub server: Server,
    pub rates: Rates,
    pub database: Database,
    pub passwords: Passwords,
    pub tokens: Tokens,
    pub coins: Coins,
    pub mail: Mail,
    pub social: Social,
    pub accounts: Accounts,
    pub storage: Storage,
    pub log: Log,
    /// Valid but risky settings (only in production), unsafe access to `.env` and variables that resemble a setting, one
    /// sentence each.
    pub warnings: Vec<String>,
}

/// The settings that other rooms declare as data. Those rooms are above this one, so they hand their declarations down:
/// this room stays the only reader of the environment and knows no provider.
#[derive(Debug, Default)]
pub struct Specs {
    pub market: Vec<&'static ProviderSpec>,
    pub social: Vec<&'static SocialSpec>,
    /// Names of providers whose data is simulated: they are refused in production.
    pub simulated: &'static [&'static str],
}

/// All errors in the settings, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the settings are not valid:\n  - {}", .0.join("\n  - "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads the environment and, for settings that are not in it, `.env` in the working directory. No other directory is
    /// searched, and programs that the server starts do not get the content of `.env`. Also lists the settings with where
    /// they come from.
    ///
    /// # Errors
    /// Lists every invalid setting, and the variables that resemble one.
    pub fn load(specs: &Specs) -> Result<(Self, Vec<Setting>), ConfigError> {
        let file = dotenv::Dotenv::read(Path::new(".env")).map_err(|error| ConfigError(vec![error]))?;
        #[expect(clippy::disallowed_methods, reason = "this is the one reader")]
        let in_environment = |name: &str| std::env::var(name).ok();
        let lookup = |name: &str| in_environment(name).or_else(|| file.values.get(name).cloned());
        let (mut config, mut env) = Self::read(&lookup, specs);
        config.warnings.extend(file.warning(&env.secrets).map(str::to_owned));
        let variables: Vec<_> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        let variables = variables.iter().chain(file.values.keys()).map(String::as_str);
        let unknown = unknown::warnings(variables, &env.names);
        if env.errors.is_empty() {
            config.warnings.extend(unknown);
        } else {
            // Such as a required setting that is mistyped.
            env.errors.extend(unknown);
        }
        let source = |name: &str| if in_environment(name).is_some() { "environment" } else { ".env" };
        let listed = listing::list(&env, source, &config.data_dir);
        Ok((Self::checked(config, env)?, listed))
    }

    /// Lists the settings that another source than the environment gives, for tests.
    pub fn list(lookup: &dyn Fn(&str) -> Option<String>, specs: &Specs) -> Vec<Setting> {
        let (config, env) = Self::read(lookup, specs);
        listing::list(&env, |_| "environment", &config.data_dir)
    }

    /// Reads the settings from any source; a test passes its own.
    ///
    /// # Errors
    /// Lists every invalid setting.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>, specs: &Specs) -> Result<Self, ConfigError> {
        let (config, env) = Self::read(lookup, specs);
        Self::checked(config, env)
    }

    /// Whether the server shows its mails at `/dev/mails`: in development, unless `PUBLIC_URL` names another computer.
    /// At a public address, requests of strangers may come through a proxy on this computer, and look like those of its
    /// user.
    pub fn has_mailbox(&self) -> bool {
        let url = url::Url::parse(&self.server.public_url).ok();
        let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        // The default with a BIND of all addresses.
        let is_unspecified = ["0.0.0.0", "[::]"].contains(&host);
        self.profile == Profile::Development && (is_unspecified || address::is_here(host))
    }

    fn checked(config: Self, env: env::Env<'_>) -> Result<Self, ConfigError> {
        if env.errors.is_empty() { Ok(config) } else { Err(ConfigError(env.errors)) }
    }

    /// The names of all settings, for a test that compares `.env.example`.
    pub fn setting_names(specs: &Specs) -> HashSet<&'static str> {
        Self::read(&|_| None, specs).1.names.into_iter().collect()
    }

    fn read<'a>(lookup: &'a dyn Fn(&str) -> Option<String>, specs: &Specs) -> (Self, env::Env<'a>) {
        let mut env = env::Env::new(lookup);
        let profiles = [("development", Profile::Development), ("production", Profile::Production)];
        if lookup("PROFILE").is_some_and(|value| value.trim().is_empty()) {
            // A variable without a value by mistake must not turn production into development.
            env.wrong("PROFILE", "development or production, or not set at all");
        }
        let profile = env.choice("PROFILE", Profile::Development, &profiles);
        let data_dir = PathBuf::from(env.text("DATA_DIR").unwrap_or_else(|| ".mintage".into()));
        let mail = Mail::read(&mut env, profile, &data_dir);
        let refused = if profile == Profile::Production { specs.simulated } else { &[] };
        let mut config = Self {
            profile,
            secret_key: SecretKey::read(&mut env, profile),
            server: Server::read(&mut env, profile),
            rates: Rates::read(&mut env),
            database: Database::read(&mut env, profile),
            passwords: Passwords::read(&mut env, profile),
            tokens: Tokens::read(&mut env),
            coins: Coins::read(&mut env, &specs.market, refused),
            social: Social::read(&mut env, &specs.social, refused),
            accounts: Accounts::read(&mut env, &mail.transport),
            storage: Storage::read(&mut env, &data_dir),
            mail,
            log: Log::read(&mut env, profile),
            data_dir,
            warnings: Vec::new(),
        };
        if profile == Profile::Production {
            config.warnings = std::mem::take(&mut env.warnings);
        }
        (config, env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static KEYED: ProviderSpec = ProviderSpec {
        name: "keyed",
        url: None,
        key: Some(KeySpec { setting: "A_KEY", is_required: false, plan: None }),
        daily_budget: None,
        monthly_budget: None,
        stands_in_for: None,
    };

    static MADE_UP: ProviderSpec = ProviderSpec {
        name: "made-up",
        url: None,
        key: None,
        daily_budget: None,
        monthly_budget: None,
        stands_in_for: None,
    };

    fn with(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let lookup =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::from_lookup(&lookup, &Specs { market: vec![&KEYED], ..Specs::default() })
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = with(&[]).expect("defaults");
        assert_eq!(config.server.public_url, "http://127.0.0.1:8080");
        assert_eq!(config.coins.providers, ["keyed"]);
    }

    #[test]
    fn all_errors_are_reported_at_once_without_values() {
        let error = with(&[("BCRYPT_COST", "hunter2"), ("ACCESS_TOKEN_TTL", "soon")]).unwrap_err();
        assert_eq!(error.0.len(), 2, "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn production_refuses_settings_for_development() {
        let error = with(&[("PROFILE", "production")]).unwrap_err().to_string();
        for name in ["SECRET_KEY", "DATABASE_URL", "PUBLIC_URL"] {
            assert!(error.contains(name), "{name} is missing in: {error}");
        }
        let weak = [("PROFILE", "production"), ("SECRET_KEY", "changeme")];
        assert!(with(&weak).unwrap_err().to_string().contains("SECRET_KEY"));
        let console = [("PROFILE", "production"), ("MAIL_TRANSPORT", "log")];
        assert!(with(&console).unwrap_err().to_string().contains("MAIL_TRANSPORT"));
    }

    #[test]
    fn production_refuses_simulated_data() {
        let read = |settings: &[(&str, &str)]| {
            let lookup = |name: &str| {
                settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let specs = Specs { market: vec![&KEYED, &MADE_UP], simulated: &["made-up"], ..Specs::default() };
            Config::from_lookup(&lookup, &specs).map(|config| config.coins.providers)
        };
        let named = [("PROFILE", "production"), ("COINS_PROVIDERS", "keyed,made-up")];
        let error = read(&named).expect_err("refused").to_string();
        assert!(error.contains("COINS_PROVIDERS must be without made-up in production"), "{error}");
        let unnamed = read(&named[..1]).expect_err("more is missing").to_string();
        assert!(!unnamed.contains("made-up"), "{unnamed}");
        assert_eq!(read(&[]).expect("valid in development"), ["keyed", "made-up"]);
    }

    #[test]
    fn a_mail_server_turns_smtp_on() {
        let server = ("MAIL_SERVER", "mail.example.com");
        let mail = with(&[server, ("MAIL_FROM", "no-reply@example.com")]).expect("config").mail;
        assert_eq!(mail.from.to_string(), "Mintage <no-reply@example.com>");
        let MailTransport::Smtp(smtp) = mail.transport else { panic!("{:?}", mail.transport) };
        assert_eq!((smtp.port, smtp.security), (587, MailSecurity::StartTls));
        for (name, value, blamed) in [
            ("MAIL_FROM", "nobody", "MAIL_FROM"),
            ("MAIL_FROM", "", "MAIL_FROM"),
            ("MAIL_SERVER", "mail.example.com:25", "MAIL_SERVER"),
            ("MAIL_USERNAME", "ada", "MAIL_USERNAME"),
        ] {
            let error = with(&[(name, value), server, ("MAIL_FROM", "a@example.com")]).unwrap_err();
            assert!(error.0.iter().all(|line| line.contains(blamed)), "{error}");
        }
        assert!(with(&[("MAIL_TRANSPORT", "smtp")]).unwrap_err().to_string().contains("MAIL_SERVER"));
    }

    #[test]
    fn production_sends_no_password_unencrypted() {
        let refused = |server| {
            let settings = [
                ("PROFILE", "production"),
                ("MAIL_SERVER", server),
                ("MAIL_USERNAME", "ada"),
                ("MAIL_PASSWORD", "secret"),
                ("MAIL_SECURITY", "none"),
            ];
            with(&settings).unwrap_err().to_string().contains("MAIL_SECURITY")
        };
        assert!(refused("mail.example.com"));
        assert!(!refused("127.0.0.1"));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let key = "a-key-of-a-provider-0123456789";
        let config = with(&[("A_KEY", key)]).expect("config");
        assert!(!format!("{config:?}").contains(key));
    }
}
