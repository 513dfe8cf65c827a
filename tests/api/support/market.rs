//! The market's providers on this machine, and a server that uses them.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use mintage::clock::Clock;
use serde_json::Value;

use super::{
    App, Client, Database, eventually, noon,
    upstream::{Reply, Upstream},
};

pub const COINS: &str = "/api/v1/coins";
pub const SYNC: &str = "/api/v1/admin/sync";

/// One of each.
pub struct Market {
    pub coinmarketcap: Upstream,
    pub coingecko: Upstream,
    pub coinpaprika: Upstream,
}

impl Market {
    /// All well.
    pub async fn start() -> Self {
        Self {
            coinmarketcap: Upstream::start(vec![fresh("cmc_v3_listings_latest_gbp")]).await,
            coingecko: Upstream::start(vec![fresh("coingecko_markets_gbp")]).await,
            coinpaprika: Upstream::start(vec![fresh("coinpaprika_tickers_gbp")]).await,
        }
    }

    /// A server that uses these providers once a day, unless the settings say otherwise.
    pub fn app(&self, providers: &str, settings: &[(&str, &str)]) -> App {
        self.app_at(noon(), providers, settings)
    }

    pub fn app_at(&self, clock: Clock, providers: &str, settings: &[(&str, &str)]) -> App {
        let mut all = vec![
            ("COINS_PROVIDERS", providers),
            ("COINS_SYNC_INTERVAL", "1d"),
            ("COINMARKETCAP_API_KEY", "the-key-of-coinmarketcap"),
            ("COINMARKETCAP_URL", &self.coinmarketcap.url),
            ("COINGECKO_URL", &self.coingecko.url),
            ("COINPAPRIKA_URL", &self.coinpaprika.url),
        ];
        all.extend(settings);
        App::at(clock, &all)
    }
}

/// A server that syncs every second with this CoinMarketCap alone.
pub fn app(coinmarketcap: &Upstream, settings: &[(&str, &str)]) -> App {
    let mut all = vec![
        ("COINS_PROVIDERS", "coinmarketcap"),
        ("COINMARKETCAP_API_KEY", "the-key-of-the-test"),
        ("COINMARKETCAP_URL", &coinmarketcap.url),
        ("COINS_SYNC_INTERVAL", "1s"),
    ];
    all.extend(settings);
    App::with(&all)
}

/// The list, once its source is this one.
pub async fn from(client: &Client, source: &str) -> Value {
    until(client, COINS, |body| body["source"] == source).await
}

pub async fn until(client: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut body = Value::Null;
    eventually("the wanted answer", async || {
        body = client.get(path).await.json();
        wanted(&body)
    })
    .await;
    body
}

/// Waits until slots have begun so many times after `now`. One server runs one slot at a time, so all but the last are over,
/// and each would have called a provider that may be called.
pub async fn until_slots(database: &Database, now: DateTime<Utc>, count: i64) {
    let query = format!("SELECT count(*) FROM sync_slots WHERE slot > '{}'", now.to_rfc3339());
    eventually("more slots", async || database.count(&query) >= count).await;
}

/// How often servers of this process have tried to claim a slot.
pub fn claims(database: &Database) -> usize {
    database.statements_with("INSERT INTO sync_slots AS s")
}

/// A provider in the status of the sync.
pub fn provider<'a>(status: &'a Value, name: &str) -> &'a Value {
    let providers = status["providers"].as_array().expect("providers");
    providers.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// The recorded body with a time in the future, which the server takes for now.
pub fn fresh(name: &str) -> Reply {
    changed(name, |_| {})
}

/// As [`fresh`], changed.
pub fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Reply {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut body = serde_json::from_slice(&std::fs::read(path).expect("fixture")).expect("JSON");
    change(&mut body);
    Reply::Http(200, "", body.to_string().replace("2026-11-20T", "2999-11-20T").into_bytes())
}

/// The list of CoinMarketCap, answered now, with prices that were updated at this time.
pub fn updated_at(time: DateTime<Utc>) -> Reply {
    changed("cmc_v3_listings_latest_gbp", |body| {
        for coin in body["data"].as_array_mut().unwrap() {
            coin["quote"][0]["last_updated"] = time.to_rfc3339_opts(SecondsFormat::Secs, true).into();
        }
    })
}

/// The coins of a list by symbol in capitals.
pub fn by_symbol(body: &Value) -> HashMap<String, Value> {
    let coins = body["data"].as_array().unwrap().iter();
    coins.map(|coin| (coin["symbol"].as_str().unwrap().to_uppercase(), coin.clone())).collect()
}

/// Their ids.
pub fn ids(body: &Value) -> HashMap<String, i64> {
    by_symbol(body).into_iter().map(|(symbol, coin)| (symbol, coin["id"].as_i64().unwrap())).collect()
}
