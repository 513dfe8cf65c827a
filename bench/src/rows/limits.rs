//! Measures what shared limits cost a read that is far from its limit, against a server without limits.

use anyhow::Result;
use mintage_bench::process::{Home, Mintage};

use super::{ROUNDS, bearer, cpu_of_load, median};
use crate::Row;

/// Larger than what the load can use up, so that each request is admitted.
const ON: [(&str, &str); 3] =
    [("RATE_LIMITS", "on"), ("RATE_LIMIT_USER", "1000000/1ms"), ("MAX_CONNECTIONS_PER_NETWORK", "10000")];

pub fn limits() -> Result<Vec<Row>> {
    let homes = [Home::new()?, Home::new()?];
    let servers = [Mintage::start_with(&homes[0].0, &[])?, Mintage::start_with(&homes[1].0, &ON)?];
    let mut loads = Vec::new();
    for server in &servers {
        let (token, _) = server.log_in("ada@example.com")?;
        loads.push((server.pid(), format!("http://{}/api/v1/user", server.address), bearer(&token)));
    }
    let mut costs = [Vec::new(), Vec::new()];
    // One round more, since the first fills the pools.
    for round in 0..=ROUNDS {
        for ((pid, url, auth), costs) in loads.iter().zip(&mut costs) {
            let cost = cpu_of_load(*pid, url, std::slice::from_ref(auth))?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let mut ratios: Vec<f64> = costs[1].iter().zip(&costs[0]).map(|(on, off)| on / off).collect();
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let ratio = median(ratios);
    let [off, on] = costs.map(median);
    Ok(vec![Row {
        what: "`GET /user` with limits that servers share, far from the limit, CPU a request, against RATE_LIMITS=off",
        measured: format!("{on:.1} µs against {off:.1} µs; rounds from {least:.2}x to {most:.2}x"),
        result: format!("{ratio:.2}x"),
        target: "<= 1.03x",
        met: ratio <= 1.03,
    }])
}
