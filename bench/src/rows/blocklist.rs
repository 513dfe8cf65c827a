//! Measures the cost of a million ended sessions.

use std::time::Duration;

use anyhow::Result;
use mintage_bench::{
    process::{Home, Mintage},
    sys,
};

use super::{ROUNDS, bearer, cpu_of_load, median};
use crate::Row;

pub fn blocklist() -> Result<Vec<Row>> {
    const ENTRIES: u32 = 1_000_000;
    let (empty_home, full_home) = (Home::new()?, Home::new()?);
    let empty = Mintage::start(&empty_home.0)?;
    drop(Mintage::start(&full_home.0)?);
    // Filled while no server runs, so that the next start has to load it.
    let full = Mintage::start(&full_home.0)?;
    full.sql(&format!(
        "INSERT INTO blocklist (session_id, expires_at) \
         SELECT gen_random_uuid(), now() + interval '1 day' FROM generate_series(1, {ENTRIES}); ANALYZE blocklist"
    ))?;
    drop(full);
    let full = Mintage::start(&full_home.0)?;
    let memory = (sys::resident_kb(full.pid()) as f64 - sys::resident_kb(empty.pid()) as f64) * 1024.0;
    let per_entry = memory / f64::from(ENTRIES);

    let (mut ratios, mut costs) = (Vec::new(), Vec::new());
    let servers = [&empty, &full];
    let tokens = [empty.log_in("ada@example.com")?.0, full.log_in("ada@example.com")?.0];
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        for (server, token) in servers.iter().zip(&tokens) {
            let url = format!("http://{}/api/v1/coins", server.address);
            round.push(cpu_of_load(server.pid(), &url, &[bearer(token)])?);
        }
        ratios.push(round[1] / round[0]);
        costs.push(round[1]);
    }
    let ratio = median(ratios);
    Ok(vec![
        Row {
            what: "the same with 1,000,000 live blocklist entries, against an empty blocklist",
            measured: format!("{:.1} µs", median(costs)),
            result: format!("{ratio:.2}x"),
            target: "<= 1.05x",
            met: ratio <= 1.05,
        },
        Row {
            what: "memory of a blocklist entry; loading a million at start",
            measured: format!("{:.0} MB", memory / 1e6),
            result: format!("{per_entry:.0} bytes; ready after {:.2} s", full.ready_after.as_secs_f64()),
            target: "<= 48 bytes; < 2 s",
            met: per_entry <= 48.0 && full.ready_after < Duration::from_secs(2),
        },
    ])
}
