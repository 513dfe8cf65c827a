//! Measures the cost of `GET /coins`: plain, compressed, and not modified.

use std::process::Command;

use anyhow::{Context, Result};
use mintage_bench::{
    fakes::{self, Jetstream},
    http::Connection,
    process::{Baseline, Home, Mintage},
};

use super::{ROUNDS, bearer, cores, cpu_of_load, median, save_body, wait_for};
use crate::Row;

const COINS: usize = 20;
const POSTS: usize = 100;
const LIST: &str = "/api/v1/coins";
const WITH_SPARKLINES: &str = "/api/v1/coins?sparkline=true";

pub fn reads() -> Result<Vec<Row>> {
    let home = Home::new()?;
    fill(&home)?;
    let server = Mintage::start(&home.0)?;
    let (token, _) = server.log_in("ada@example.com")?;
    let bare = |name: &str, path: &str| {
        let file = save_body(&server, &home, &token, name, path)?;
        Baseline::start("bare-actix", &[&file, &cores().to_string()])
    };
    let (bare_list, bare_sparklines) = (bare("list.json", LIST)?, bare("sparklines.json", WITH_SPARKLINES)?);
    let etag = etag_of(&server, &token)?;
    let auth = bearer(&token);
    let variants = [
        vec![auth.clone()],
        vec![auth.clone(), "Accept-Encoding: br".into()],
        vec![auth.clone(), "Accept-Encoding: zstd".into()],
        vec![auth.clone(), "Accept-Encoding: gzip".into()],
        vec![auth.clone(), format!("If-None-Match: {etag}")],
    ];
    let url = |path: &str| format!("http://{}{path}", server.address);
    let cpu_of_bare =
        |bare: &Baseline| cpu_of_load(bare.child.id(), &format!("http://{}/", bare.address), &[]);
    let (mut floor, mut costs) = (Vec::new(), vec![Vec::new(); variants.len()]);
    let (mut floor_of_sparklines, mut sparklines) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(cpu_of_bare(&bare_list)?);
        for (headers, costs) in variants.iter().zip(&mut costs) {
            costs.push(cpu_of_load(server.pid(), &url(LIST), headers)?);
        }
        floor_of_sparklines.push(cpu_of_bare(&bare_sparklines)?);
        sparklines.push(cpu_of_load(server.pid(), &url(WITH_SPARKLINES), std::slice::from_ref(&auth))?);
    }
    let names = ["br", "zstd", "gzip", "304"];
    let to_plain: Vec<f64> = (1..5).map(|n| ratio(&costs[n], &costs[0])).collect();
    let dearest = to_plain.iter().copied().fold(0.0, f64::max);
    let listed = names.iter().zip(&to_plain).map(|(name, ratio)| format!("{name} {ratio:.2}x"));
    Ok(vec![
        to_bare(
            "`GET /coins` with complete rows of 20 coins and a bearer token (EdDSA), CPU a request, against bare actix-web \
             sending the same bytes",
            costs.swap_remove(0),
            floor,
        ),
        to_bare("the same with `?sparkline=true`", sparklines, floor_of_sparklines),
        Row {
            what: "304 and prepared codings, CPU a request, against the plain 200",
            measured: listed.collect::<Vec<_>>().join(", "),
            result: format!("{dearest:.2}x at most"),
            target: "not dearer (<= 1.05x)",
            met: dearest <= 1.05,
        },
    ])
}

/// Stores complete rows: prices and figures of posts, of a loopback provider and source.
fn fill(home: &Home) -> Result<()> {
    let (coingecko, jetstream) = (fakes::coingecko(COINS)?, Jetstream::start()?);
    let settings = [
        ("COINS_PROVIDERS", "coingecko"),
        ("COINGECKO_URL", coingecko.as_str()),
        ("COINS_BACKFILL", "off"),
        ("COINS_SYNC_INTERVAL", "5s"),
        ("SOCIAL_PROVIDERS", "bluesky"),
        ("BLUESKY_URL", jetstream.url.as_str()),
    ];
    let server = Mintage::start_with(&home.0, &settings)?;
    let (token, _) = server.log_in("ada@example.com")?;
    wait_for("a reader of the stream", || Ok(jetstream.has_reader()))?;
    for (number, text) in fakes::posts(COINS, POSTS)?.iter().enumerate() {
        jetstream.post(number, text)?;
    }
    let mut connection = Connection::open(&server.address)?;
    wait_for("figures of posts", || Ok(connection.get(LIST, &token)?.body.contains("\"sample_size\":100")))
}

fn to_bare(what: &'static str, costs: Vec<f64>, floor: Vec<f64>) -> Row {
    let ratio = ratio(&costs, &floor);
    Row {
        what,
        measured: format!("{:.1} µs against {:.1} µs", median(costs), median(floor)),
        result: format!("{ratio:.2}x"),
        target: "<= 1.35x",
        met: ratio <= 1.35,
    }
}

/// The median of the ratios of the rounds.
fn ratio(costs: &[f64], base: &[f64]) -> f64 {
    median(costs.iter().zip(base).map(|(cost, base)| cost / base).collect())
}

fn etag_of(server: &Mintage, token: &str) -> Result<String> {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-D", "-", "-H", &bearer(token)])
        .arg(format!("http://{}/api/v1/coins", server.address))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("etag: ")).context("no ETag")?;
    Ok(line.trim().to_owned())
}
