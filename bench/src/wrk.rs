//! Runs the load generator wrk, on one thread, because it shares the cores with the measured server.

use std::process::Command;

use anyhow::{Context, Result, ensure};

pub struct Load {
    pub requests: f64,
    pub per_second: f64,
    pub p99_millis: f64,
}

pub fn run(url: &str, connections: u32, seconds: u32, headers: &[String]) -> Result<Load> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().context("wrk is not installed")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!text.contains("Non-2xx"), "not all answers were good: {text}");
    let after = |mark: &str| text.lines().find_map(|line| line.trim().strip_prefix(mark)).map(str::trim);
    let requests =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no count")?;
    Ok(Load {
        requests: requests.0.trim().parse()?,
        per_second: after("Requests/sec:").context("no rate")?.parse()?,
        p99_millis: millis(after("99%").context("no latency")?)?,
    })
}

fn millis(text: &str) -> Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    anyhow::bail!("{text} is not a time")
}
