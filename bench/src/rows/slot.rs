//! Measures a slot with many coins and many posts: reading, matching, comparing and scoring the posts, their figures, and
//! the publication.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use mintage_bench::{
    fakes::{self, Jetstream},
    http::Connection,
    process::{Home, Mintage},
    sys,
};
use serde_json::Value;

use super::median;
use crate::Row;

const COINS: usize = 250;
const POSTS: usize = 100;
const INTERVAL: Duration = Duration::from_secs(30);
/// A slot takes less, from its start until its figures are published.
const PUBLICATION: Duration = Duration::from_secs(5);
const SERVERS: usize = 3;

/// The CPU of one slot, in seconds.
struct Cost {
    server: f64,
    idle: f64,
    postgres: f64,
    posts: i64,
}

pub fn slot() -> Result<Vec<Row>> {
    let costs = (0..SERVERS).map(|_| measure()).collect::<Result<Vec<Cost>>>()?;
    let median_of = |of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
    let added = median_of(|cost| cost.server - cost.idle);
    Ok(vec![Row {
        what: "a slot with 250 coins and 25,000 new posts (loopback CoinGecko and Jetstream): CPU of the process from one \
               publication to the next, less that of the slot before without posts",
        measured: format!(
            "{:.2} s against {:.2} s, PostgreSQL {:.2} s more, {} posts in the samples; median of {SERVERS} servers ({})",
            median_of(|cost| cost.server),
            median_of(|cost| cost.idle),
            median_of(|cost| cost.postgres),
            costs.iter().map(|cost| cost.posts).min().unwrap_or_default(),
            costs.iter().map(|cost| format!("{:.2}", cost.server - cost.idle)).collect::<Vec<_>>().join(", "),
        ),
        result: format!("{added:.2} s"),
        target: "< 1 s",
        met: added < 1.0,
    }])
}

fn measure() -> Result<Cost> {
    let (coingecko, jetstream, home) = (fakes::coingecko(COINS)?, Jetstream::start()?, Home::new()?);
    let texts = fakes::posts(COINS, POSTS)?;
    let (count, interval) = (COINS.to_string(), format!("{}s", INTERVAL.as_secs()));
    let settings = [
        ("COINS_PROVIDERS", "coingecko"),
        ("COINGECKO_URL", coingecko.as_str()),
        ("COINS_COUNT", count.as_str()),
        ("COINS_BACKFILL", "off"),
        ("COINS_SYNC_INTERVAL", interval.as_str()),
        ("SOCIAL_PROVIDERS", "bluesky"),
        ("BLUESKY_URL", jetstream.url.as_str()),
    ];
    let server = Mintage::start_with(&home.0, &settings)?;
    let (token, _) = server.log_in("ada@example.com")?;
    super::wait_for("a reader of the stream", || Ok(jetstream.has_reader()))?;
    let first = list(&server, &token)?["as_of"].clone();
    super::wait_for("a publication", || Ok(list(&server, &token)?["as_of"] != first))?;
    thread::sleep(PUBLICATION);
    let postgres = server.postgres_pid()?;
    let cpu = || (sys::cpu_micros(server.pid()), sys::cpu_micros_of_tree(postgres));
    let before = (Instant::now(), cpu());
    thread::sleep(INTERVAL);
    let idle = cpu();
    for (number, text) in texts.iter().enumerate() {
        jetstream.post(number, text)?;
    }
    thread::sleep((INTERVAL * 2).saturating_sub(before.0.elapsed()));
    let after = cpu();
    let body = list(&server, &token)?;
    let coins = body["data"].as_array().map_or(&[][..], Vec::as_slice);
    let posts = coins.iter().filter_map(|coin| coin["social"]["sample_size"].as_i64()).sum();
    // A few are in another language by the detector.
    ensure!(coins.len() == COINS && posts > 24_000, "{} coins, {posts} posts", coins.len());
    let seconds = |from: u64, to: u64| (to - from) as f64 / 1e6;
    let (before, before_of_postgres) = before.1;
    let cost = Cost {
        server: seconds(idle.0, after.0),
        idle: seconds(before, idle.0),
        postgres: seconds(idle.1, after.1) - seconds(before_of_postgres, idle.1),
        posts,
    };
    eprintln!("  {:.2} s, idle {:.2} s, PostgreSQL {:.2} s", cost.server, cost.idle, cost.postgres);
    Ok(cost)
}

/// Reads the list on a connection of its own, since the server ends idle ones.
fn list(server: &Mintage, token: &str) -> Result<Value> {
    Ok(serde_json::from_str(&Connection::open(&server.address)?.get("/api/v1/coins", token)?.body)?)
}
