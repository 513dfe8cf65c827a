//! `.env.example` is the manual of the settings, so it must be complete and true.

use std::collections::{HashMap, HashSet};

use mintage::{app::specs, config::Config};

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
        let fixed = ["PROFILE", "BIND", "DATABASE_URL"].contains(&name);
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
const ADDRESSES: [&str; 15] = [
    "SECURITY_CONTACT",
    "CHANGE_PASSWORD_URL",
    "PUBLIC_URL",
    "APP_URL",
    "COINMARKETCAP_URL",
    "COINGECKO_URL",
    "COINPAPRIKA_URL",
    "X_URL",
    "MASTODON_URLS",
    "BLUESKY_URL",
    "MAIL_SERVER",
    "CORS_ORIGINS",
    "MAIL_FROM",
    "STORAGE_URL",
    "S3_ENDPOINT",
];

/// What `check-config` prints, be it the settings or the mistakes in them.
fn printed(settings: &[(&str, &str)]) -> String {
    let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
    match Config::from_lookup(&lookup, &specs()) {
        Ok(config) => format!("{config:#?} {:?}", config.warnings),
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
