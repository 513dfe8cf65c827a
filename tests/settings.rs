//! `.env.example` is the manual of the settings, so it must be complete and true.

use std::collections::{HashMap, HashSet};

use mintage::{
    app::specs,
    config::{Config, RateLimit, Rates},
};

/// The lines `# NAME=default`.
fn example() -> HashMap<&'static str, &'static str> {
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    include_str!("../.env.example")
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .filter(|(name, _)| is_name(name))
        .collect()
}

#[test]
fn every_setting_stands_in_env_example_and_nothing_else_does() {
    assert_eq!(example().into_keys().collect::<HashSet<_>>(), Config::setting_names(&specs()));
}

#[test]
fn the_defaults_in_env_example_are_the_real_ones() {
    let example = example();
    let written =
        Config::from_lookup(&|name| example.get(name).map(ToString::to_string), &specs()).expect("usable");
    let real = Config::from_lookup(&|_| None, &specs()).expect("usable");
    assert_eq!(format!("{written:#?}"), format!("{real:#?}"));
}

#[test]
fn check_config_lists_the_defaults_of_env_example() {
    let listed = Config::list(&|_| None, &specs());
    assert_eq!(listed.len(), example().len());
    for (name, default) in example().into_iter().filter(|(_, default)| !default.is_empty()) {
        let setting = listed.iter().find(|setting| setting.name == name).expect(name);
        assert_eq!((setting.value.as_deref(), setting.source.as_str()), (Some(default), "default"), "{name}");
    }
    // Those that depend on the machine or on other settings.
    let values = ["PUBLIC_URL", "WORKERS", "LOG_FORMAT", "MAIL_PORT", "MAIL_DIR", "COINS_PROVIDERS"];
    assert!(values.iter().all(|name| listed.iter().any(|one| one.name == *name && one.value.is_some())));
}

#[test]
fn env_example_sets_nothing_by_itself() {
    let set =
        include_str!("../.env.example").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(set.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn an_instance_that_is_named_twice_is_one() {
    let named =
        |name: &str| (name == "MASTODON_URLS").then(|| "https://a/, https://b,https://a,https://b/".into());
    let urls =
        Config::from_lookup(&named, &specs()).expect("usable").social.settings_of("mastodon").urls.clone();
    assert_eq!(urls, ["https://a", "https://b"]);
}

/// The lines of a block of `docker-compose.yml` below the line `key:`, by indentation.
fn block<'a>(lines: &[&'a str], key: &str) -> Vec<&'a str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let start = lines.iter().position(|line| line.trim() == format!("{key}:")).expect(key);
    let below = lines[start + 1..].iter().take_while(|line| depth(line) > depth(lines[start]));
    below.copied().collect()
}

#[test]
fn docker_compose_passes_every_setting_of_its_env_file_to_the_server() {
    let lines: Vec<_> = include_str!("../docker-compose.yml")
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
        .collect();
    let service = block(&block(&lines, "services"), "mintage");
    // All of them at once; no list of names that could lack one.
    assert_eq!(block(&service, "env_file"), ["      - path: .env", "        required: false"]);
    // What stands here hides what `.env` says, so it must be fixed on purpose or hand it on.
    for line in block(&service, "environment") {
        let (name, value) = line.trim().split_once(": ").expect("a pair");
        assert!(Config::setting_names(&specs()).contains(name), "{name} is no setting");
        let fixed = ["PROFILE", "BIND", "DATABASE_URL", "DATABASE_MIGRATION_URL"].contains(&name);
        assert!(fixed || value.starts_with(&format!("${{{name}:")), "{line} hides {name} of .env");
    }
    assert_eq!(block(&service, "ports"), ["      - \"127.0.0.1:8080:8080\""], "not open to the network");
}

/// Those that hold a secret, and addresses, in which one may be put by mistake.
const SECRETS: [&str; 8] = [
    "SECRET_KEY",
    "DATABASE_URL",
    "DATABASE_MIGRATION_URL",
    "MAIL_PASSWORD",
    "COINMARKETCAP_API_KEY",
    "COINGECKO_API_KEY",
    "X_BEARER_TOKEN",
    "S3_SECRET_ACCESS_KEY",
];
const ADDRESSES: [&str; 19] = [
    "SECURITY_CONTACT",
    "CHANGE_PASSWORD_URL",
    "PUBLIC_URL",
    "APP_URL",
    "LOGIN_URL",
    "COIN_URL",
    "COINMARKETCAP_URL",
    "COINGECKO_URL",
    "COINPAPRIKA_URL",
    "FEAR_AND_GREED_URL",
    "X_URL",
    "MASTODON_URLS",
    "BLUESKY_URL",
    "MAIL_SERVER",
    "CORS_ORIGINS",
    "MAIL_FROM",
    "STORAGE_URL",
    "S3_ENDPOINT",
    "PASSWORD_BREACH_URL",
];

/// What `check-config` prints, be it the settings or the mistakes in them.
fn printed(settings: &[(&str, &str)]) -> String {
    let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
    match Config::from_lookup(&lookup, &specs()) {
        Ok(config) => format!("{config:#?} {:?} {:?}", config.warnings, Config::list(&lookup, &specs())),
        Err(error) => format!("{error} {error:?}"),
    }
}

#[test]
fn no_secret_is_printed_whether_it_is_right_or_mistyped() {
    let names = Config::setting_names(&specs());
    assert!(SECRETS.iter().chain(&ADDRESSES).all(|name| names.contains(name)));
    for name in SECRETS {
        for value in [
            "canary",
            "the-canary-is-long-enough-0123456789",
            "a-new-one-0123456789-abcdefghijkl,canary",
            "postgres://user:canary@db.example.com/mintage",
            "postgres:/user:canary@db.example.com/mintage",
            "host=db password=canary",
        ] {
            for profile in ["development", "production"] {
                // Together with what belongs to it.
                let settings = [
                    (name, value),
                    ("PROFILE", profile),
                    ("MAIL_SERVER", "mail.example.com"),
                    ("MAIL_FROM", "a@example.com"),
                    ("MAIL_USERNAME", "ada"),
                ];
                let printed = printed(&settings);
                assert!(!printed.contains("canary"), "{name}={value}: {printed}");
            }
        }
    }
}

#[test]
fn an_address_with_a_secret_in_it_is_refused_and_not_printed() {
    for name in ADDRESSES {
        let scheme = if name == "BLUESKY_URL" { "wss" } else { "https" };
        for rest in [
            "user:canary@example.com",
            "canary@example.com",
            "example.com/?key=canary",
            "example.com/#canary",
        ] {
            for value in
                [format!("{scheme}://{rest}"), format!("{scheme}:/{rest}"), format!("{scheme}:{rest}")]
            {
                let settings = [(name, value.as_str()), ("MAIL_TRANSPORT", "file")];
                let printed = printed(&settings);
                assert!(printed.contains(&format!("{name} must be")), "{name}={value}: {printed}");
                assert!(!printed.contains("canary"), "{name}={value}: {printed}");
            }
        }
    }
}

/// The cells of each row of the tables in `docs/security.md`.
fn rows_of_security() -> Vec<Vec<&'static str>> {
    include_str!("../docs/security.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn the_table_of_limits_in_the_documentation_shows_the_defaults() {
    let example = example();
    let mut limits: Vec<_> = example.keys().copied().filter(|name| name.starts_with("RATE_LIMIT_")).collect();
    limits.sort_unstable();
    assert!(!limits.is_empty());
    for row in rows_of_security() {
        let [_, _, burst, every, _, setting] = row.as_slice() else { continue };
        let Some(name) = setting.strip_prefix("`RATE_LIMIT_").and_then(|rest| rest.strip_suffix('`')) else {
            continue;
        };
        let name = format!("RATE_LIMIT_{name}");
        // A remark in brackets may follow.
        let every = every.split(' ').next().unwrap_or_default();
        assert_eq!(example[name.as_str()], format!("{burst}/{every}"), "{name}");
        limits.retain(|limit| *limit != name);
    }
    assert_eq!(limits, [""; 0], "limits without a row in docs/security.md");
}

fn rates() -> Rates {
    Config::from_lookup(&|_| None, &specs()).expect("usable").rates
}

fn per_day(limit: &RateLimit) -> f64 {
    24.0 * 3600.0 / limit.every.as_secs_f64()
}

fn in_days(limit: &RateLimit, days: f64) -> f64 {
    f64::from(limit.burst) + days * per_day(limit)
}

/// Rounded to hundreds.
fn thousands(number: f64) -> String {
    let hundreds = (number / 100.0).round() * 100.0;
    format!("{},{:03}", (hundreds / 1000.0).floor(), hundreds % 1000.0)
}

/// Checks that the row which begins so contains these texts.
fn assert_states(begin: &str, expected: &[String]) {
    let rows = rows_of_security();
    let row = rows.iter().find(|row| row[0].starts_with(begin)).unwrap_or_else(|| panic!("{begin}"));
    let said = row[1..].join(" | ");
    for text in expected {
        assert!(said.contains(text.as_str()), "{begin}: {said}, not {text}");
    }
}

#[test]
fn the_odds_of_codes_in_the_documentation_follow_from_the_defaults() {
    let rates = rates();
    let codes = 2f64.powi(40);
    assert_states("code of eight characters", &[format!("{:.0} in 10^10", 1000.0 / codes * 1e10)]);
    let mails = per_day(&rates.mails.all);
    let chance = 365.0 * mails * 1000.0 / codes * 1e6;
    assert_states(
        "… one account, all mails of a year",
        &[format!("{mails} mails a day"), format!("{chance:.0} in 10^6 a year")],
    );
    let tries = in_days(&rates.auth, 1.0);
    let chance = 365.0 * tries / codes;
    assert!((0.5e-5..1.5e-5).contains(&chance), "{chance}");
    let from_one = [format!("{} a day", thousands(tries)), "1 in 10^5 a year".into()];
    assert_states("… any account, from one IPv4 address", &from_one);
    assert_states(
        "… any account, from 1,000 IPv4 addresses",
        &[format!("{:.1} million a day", tries / 1e3), format!("{:.0} percent a year", chance * 1e5)],
    );
    let six = &rates.codes.six_digits;
    let percent = |days| in_days(six, days) / 1e6 * 100.0;
    assert_states(
        "code of six digits",
        &[
            format!("{}, then {} a day", six.burst, per_day(six)),
            format!("{:.3} percent on the first day", percent(1.0)),
            format!("{:.1} percent a year", percent(365.0)),
        ],
    );
}

#[test]
fn the_guesses_at_a_password_in_the_documentation_follow_from_the_defaults() {
    let limits = rates().passwords;
    let new = &limits.new_networks;
    let tries = |limit: &RateLimit| format!("{}, then {} a day", limit.burst, per_day(limit));
    let a_year = format!("{} guesses a year", in_days(new, 365.0));
    assert_states("password of one account, from networks", &[tries(new), a_year]);
    for (begin, limit) in [
        ("… from a network that the owner uses", &limits.network),
        ("… with a stolen token", &limits.with_token),
    ] {
        let a_year = format!("{} guesses a year", thousands(in_days(limit, 365.0)));
        assert_states(begin, &[tries(limit), a_year]);
    }
}
