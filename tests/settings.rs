//! `.env.example` is the manual of the settings, so it must be complete and true.

use std::collections::{HashMap, HashSet};

use mintage::config::Config;

/// The lines `# NAME=default`.
fn example() -> HashMap<&'static str, &'static str> {
    let is_name = |name: &str| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase());
    include_str!("../.env.example")
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .filter(|(name, _)| is_name(name))
        .collect()
}

#[test]
fn every_setting_stands_in_env_example_and_nothing_else_does() {
    assert_eq!(example().into_keys().collect::<HashSet<_>>(), Config::setting_names());
}

#[test]
fn the_defaults_in_env_example_are_the_real_ones() {
    let example = example();
    let written = Config::from_lookup(&|name| example.get(name).map(ToString::to_string)).expect("usable");
    let real = Config::from_lookup(&|_| None).expect("usable");
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
    let urls = Config::from_lookup(&named).expect("usable").social.mastodon_urls;
    assert_eq!(urls, ["https://a", "https://b"]);
}
