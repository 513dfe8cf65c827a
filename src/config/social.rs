//! Settings of social sources.

use std::path::PathBuf;

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{
    address,
    env::{Env, Secret},
};

/// Where posts about coins come from.
#[derive(Clone, Debug)]
pub struct Social {
    /// Empty if no source is read.
    pub providers: Vec<SocialProvider>,
    /// A JSON file with search terms that replace the built-in ones.
    pub queries: Option<PathBuf>,
    pub x_url: String,
    pub x_token: Option<Secret>,
    /// Maximum of posts per UTC day, since X bills each post that it returns.
    pub x_daily_posts: u32,
    /// At least one, without trailing slashes.
    pub mastodon_urls: Vec<String>,
    pub bluesky_url: String,
}

/// The providers in `src/social/sources/`, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum SocialProvider {
    Mastodon,
    Bluesky,
    X,
}

impl SocialProvider {
    /// The name in `SOCIAL_PROVIDERS` and in `sources`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Social {
    pub(super) fn read(env: &mut Env) -> Self {
        let providers = read_providers(env);
        let x_token = env.secret("X_BEARER_TOKEN");
        if providers.contains(&SocialProvider::X) && x_token.is_none() {
            env.wrong("X_BEARER_TOKEN", "set when SOCIAL_PROVIDERS names x");
        }
        Self {
            providers,
            queries: env.text("SOCIAL_QUERIES").map(PathBuf::from),
            x_url: read_address(env, "X_URL", "https://api.x.com", &["http", "https"]),
            x_token,
            x_daily_posts: env.number("X_DAILY_POST_BUDGET", 1000, 11..=1_000_000),
            mastodon_urls: read_instances(env),
            bluesky_url: read_address(
                env,
                "BLUESKY_URL",
                "wss://jetstream2.us-east.bsky.network",
                &["ws", "wss"],
            ),
        }
    }
}

/// `none` reads no source; the default is the one that needs neither a key nor a permanent connection.
fn read_providers(env: &mut Env) -> Vec<SocialProvider> {
    let text = env.text("SOCIAL_PROVIDERS").unwrap_or_else(|| "mastodon".into());
    if text == "none" {
        return Vec::new();
    }
    let mut providers: Vec<SocialProvider> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse() {
            Ok(provider) if !providers.contains(&provider) => providers.push(provider),
            Ok(_) => {}
            Err(_) => {
                let names = SocialProvider::VARIANTS.join(", ");
                env.wrong("SOCIAL_PROVIDERS", &format!("none, or a list of {names}"));
            }
        }
    }
    providers
}

/// Each instance is queried for each coin.
const MAX_INSTANCES: usize = 10;

fn read_instances(env: &mut Env) -> Vec<String> {
    let text =
        env.text("MASTODON_URLS").unwrap_or_else(|| "https://mastodon.social,https://mstdn.social".into());
    let mut urls: Vec<String> = Vec::new();
    // The host is the name of an instance.
    let host = |url: &str| url.split_once("://").map_or_else(String::new, |(_, host)| host.to_lowercase());
    for url in text.split(',').map(|url| url.trim().trim_end_matches('/')) {
        if !url.is_empty() && !urls.iter().any(|known| host(known) == host(url)) {
            urls.push(url.to_owned());
        }
    }
    let fit = urls.iter().all(|url| address::parse(url, &["http", "https"]).is_some());
    if !fit || urls.is_empty() || urls.len() > MAX_INSTANCES {
        env.wrong("MASTODON_URLS", "one to 10 http(s) addresses without a user name, a password or a query");
    }
    urls
}

fn read_address(env: &mut Env, name: &'static str, default: &str, schemes: &[&str]) -> String {
    let expected = format!(
        "an address that begins with {}://, without a user name, a password or a query",
        schemes.join(":// or ")
    );
    address::read(env, name, schemes, &expected).unwrap_or_else(|| default.into())
}
