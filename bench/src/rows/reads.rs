//! Measures the cost of `GET /coins`: plain, compressed, and not modified.

use std::process::Command;

use anyhow::{Context, Result};
use mintage_bench::process::{Baseline, Home, Mintage};

use super::{ROUNDS, bearer, cores, cpu_of_load, median, save_body};
use crate::Row;

pub fn reads() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    let (token, _) = server.log_in("ada@example.com")?;
    let file = save_body(&server, &home, &token)?;
    let bare = Baseline::start("bare-actix", &[&file, &cores().to_string()])?;
    let bare_url = format!("http://{}/", bare.address);
    let url = format!("http://{}/api/v1/coins", server.address);
    let etag = etag_of(&server, &token)?;
    let auth = bearer(&token);
    let variants = [
        vec![auth.clone()],
        vec![auth.clone(), "Accept-Encoding: br".into()],
        vec![auth.clone(), "Accept-Encoding: zstd".into()],
        vec![auth.clone(), "Accept-Encoding: gzip".into()],
        vec![auth, format!("If-None-Match: {etag}")],
    ];
    let (mut floor, mut costs) = (Vec::new(), vec![Vec::new(); variants.len()]);
    for _ in 0..ROUNDS {
        floor.push(cpu_of_load(bare.child.id(), &bare_url, &[])?);
        for (headers, costs) in variants.iter().zip(&mut costs) {
            costs.push(cpu_of_load(server.pid(), &url, headers)?);
        }
    }
    let ratio_to = |base: &[f64], costs: &[f64]| {
        median(costs.iter().zip(base).map(|(cost, base)| cost / base).collect())
    };
    let to_bare = ratio_to(&floor, &costs[0]);
    let names = ["br", "zstd", "gzip", "304"];
    let to_plain: Vec<f64> = (1..5).map(|n| ratio_to(&costs[0], &costs[n])).collect();
    let dearest = to_plain.iter().copied().fold(0.0, f64::max);
    let listed = names.iter().zip(&to_plain).map(|(name, ratio)| format!("{name} {ratio:.2}x"));
    Ok(vec![
        Row {
            what: "`GET /coins` with a bearer token (EdDSA), CPU a request, against bare actix-web sending the same bytes",
            measured: format!("{:.1} µs against {:.1} µs", median(costs[0].clone()), median(floor.clone())),
            result: format!("{to_bare:.2}x"),
            target: "<= 1.35x",
            met: to_bare <= 1.35,
        },
        Row {
            what: "304 and prepared codings, CPU a request, against the plain 200",
            measured: listed.collect::<Vec<_>>().join(", "),
            result: format!("{dearest:.2}x at most"),
            target: "not dearer (<= 1.05x)",
            met: dearest <= 1.05,
        },
    ])
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
