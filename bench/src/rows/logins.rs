//! Measures log-ins per second.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Result, ensure};
use mintage_bench::{
    http::Connection,
    process::{Home, Mintage, sibling},
};

use super::{COST, ROUNDS, hash_threads, login_body, median};
use crate::Row;

pub fn logins() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    server.log_in("ada@example.com")?;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let output =
            Command::new(sibling("bare-bcrypt")?).args([COST, &hash_threads().to_string(), "6"]).output()?;
        let floor: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        let count = (floor * 6.0).round() as u32;
        let rate = login_rate(&server, count)?;
        ratios.push(rate / floor);
        rates.push(rate);
    }
    let ratio = median(ratios);
    Ok(vec![Row {
        what: "log-ins a second at bcrypt cost 12, against bare bcrypt on as many threads",
        measured: format!("{:.2} a second on {} thread(s)", median(rates), hash_threads()),
        result: format!("{ratio:.2}x"),
        target: ">= 0.97x",
        met: ratio >= 0.97,
    }])
}

/// Returns log-ins per second, from `count` log-ins over a few connections.
fn login_rate(server: &Mintage, count: u32) -> Result<f64> {
    let left = AtomicU32::new(count);
    let began = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..hash_threads() * 2 + 2)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut connection = Connection::open(&server.address)?;
                    while left
                        .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok()
                    {
                        let answer = connection.post("/api/v1/auth/login", &login_body("ada@example.com"))?;
                        ensure!(answer.status == 200, "{}", answer.body);
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}
