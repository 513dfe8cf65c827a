//! Measures the start of Mintage and its memory when idle.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use mintage_bench::{
    http::Connection,
    process::{Home, Mintage},
    sys,
};

use super::{ROUNDS, median};
use crate::Row;

pub fn start() -> Result<Vec<Row>> {
    let home = Home::new()?;
    drop(Mintage::start(&home.0)?);
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let server = Mintage::start(&home.0)?;
        times.push(server.ready_after.as_secs_f64() * 1000.0);
        thread::sleep(Duration::from_secs(1));
        memory.push(sys::resident_kb(server.pid()) as f64 / 1024.0);
    }
    let (time, memory) = (median(times), median(memory));
    Ok(vec![Row {
        what: "start to `/readyz` on an existing database, with the start of the embedded PostgreSQL; idle memory of the process",
        measured: "median of 5".into(),
        result: format!("{time:.0} ms; {memory:.0} MB"),
        target: "< 150 ms; < 40 MB",
        met: time < 150.0 && memory < 40.0,
    }])
}

/// The first start of a developer, who has no network: with the simulated market, and with still data.
pub fn first_start() -> Result<Vec<Row>> {
    let (mut ready, mut listed, mut trends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ready_still, mut added) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let simulated = first("simulation")?;
        let still = first("demo")?;
        added.push(simulated.listed - still.listed);
        ready.push(simulated.ready);
        ready_still.push(still.ready);
        listed.push(simulated.listed);
        trends.push(simulated.trending);
    }
    let [ready, ready_still, listed, trends, added] = [ready, ready_still, listed, trends, added].map(median);
    Ok(vec![Row {
        what: "first start on an empty directory (creates the PostgreSQL cluster): time until the simulated coins are \
               listed, less that until the still ones of `demo` are",
        measured: format!(
            "ready after {ready:.2} s against {ready_still:.2} s; coins listed after {listed:.2} s, trends after \
             {trends:.2} s; median of {ROUNDS} pairs"
        ),
        result: format!("{added:.2} s more"),
        target: "< 1 s more",
        met: added < 1.0,
    }])
}

/// Seconds from the start of the process.
struct First {
    ready: f64,
    listed: f64,
    /// All coins have a trend; with still data as soon as coins are listed.
    trending: f64,
}

fn first(provider: &str) -> Result<First> {
    let home = Home::new()?;
    // A production server refuses to simulate.
    let settings = [("PROFILE", "development"), ("COINS_PROVIDERS", provider)];
    let began = Instant::now();
    let server = Mintage::start_with(&home.0, &settings)?;
    let mut connection = Connection::open(&server.address)?;
    let source = format!("\"source\":\"{provider}\"");
    super::wait_for("coins", || Ok(connection.get("/", "")?.body.contains(&source)))?;
    let listed = began.elapsed().as_secs_f64();
    if provider != "simulation" {
        return Ok(First { ready: server.ready_after.as_secs_f64(), listed, trending: listed });
    }
    // The log-in takes as long as a password hash, beside the reading of posts.
    let (token, _) = server.log_in("ada@example.com")?;
    super::wait_for("trends", || {
        let body = connection.get("/api/v1/coins/trending?limit=250", &token)?.body;
        Ok(body.matches("\"slug\"").count() == 20)
    })?;
    let trending = began.elapsed().as_secs_f64();
    Ok(First { ready: server.ready_after.as_secs_f64(), listed, trending })
}
