//! Measures how many simultaneous log-ins affect readers, and which responses the log-ins get.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use mintage_bench::{
    http::Connection,
    process::{Baseline, Home, Mintage},
    sys,
};

use super::{COST, ROUNDS, bearer, cores, hash_threads, login_body, median, save_body};
use crate::{Row, wrk};

pub fn storm() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    let (token, _) = server.log_in("ada@example.com")?;
    // Another account, since a user keeps only the 100 newest sessions.
    server.log_in("storm@example.com")?;
    let file = save_body(&server, &home, &token, "body.json", "/api/v1/coins")?;
    let shared = Baseline::start("shared-pool", &[&file, &cores().to_string(), COST])?;
    let url = format!("http://{}/api/v1/coins", server.address);
    let headers = [bearer(&token)];
    let read = || wrk::run(&url, 16, 4, &headers);
    let (mut kept, mut tails, mut p99s, mut shared_p99s) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let quiet = read()?;
        let stormy = in_a_storm(&server.address, "/api/v1/auth/login", 64, &Storm::default(), read)?;
        let shared_url = format!("http://{}/", shared.address);
        let baseline = in_a_storm(&shared.address, "/login", 64, &Storm::default(), || {
            wrk::run(&shared_url, 16, 4, &[])
        })?;
        kept.push(stormy.per_second / quiet.per_second);
        tails.push(stormy.p99_millis / baseline.p99_millis);
        p99s.push(stormy.p99_millis);
        shared_p99s.push(baseline.p99_millis);
    }
    let (kept, tail) = (median(kept), median(tails));
    let overload = overload(&server, &url, &headers)?;
    Ok(vec![
        Row {
            what: "`GET /coins` during a storm of 64 log-ins: throughput kept",
            measured: format!("{} hash thread(s) on {} cores", hash_threads(), cores()),
            result: format!("{kept:.2}x"),
            target: ">= 0.8x",
            met: kept >= 0.8,
        },
        Row {
            what: "… p99, against hashing in actix's shared blocking pool",
            measured: format!("{:.1} ms against {:.1} ms", median(p99s), median(shared_p99s)),
            result: format!("{tail:.2}x"),
            target: "<= 0.2x",
            met: tail <= 0.2,
        },
        overload,
    ])
}

fn overload(server: &Mintage, url: &str, headers: &[String]) -> Result<Row> {
    let before = sys::resident_kb(server.pid());
    let storm = Storm::default();
    let read = || wrk::run(url, 16, 4, headers);
    let load = in_a_storm(&server.address, "/api/v1/auth/login", 1000, &storm, read)?;
    let grown = sys::resident_kb(server.pid()).saturating_sub(before) / 1024;
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    // "At once": well below what a log-in takes.
    let at_once = count(&storm.slowest_refusal_millis) < 250;
    let met = count(&storm.odd) == 0 && count(&storm.refused) > 0 && grown < 64 && at_once;
    Ok(Row {
        what: "overload: 1,000 clients log in at once",
        measured: format!(
            "{} logged in, {} refused (the slowest refusal after {} ms), {} other; readers' p99 {:.1} ms",
            count(&storm.good),
            count(&storm.refused),
            count(&storm.slowest_refusal_millis),
            count(&storm.odd),
            load.p99_millis
        ),
        result: format!("503 with Retry-After; {grown} MB more memory"),
        target: "the excess refused at once, memory bounded, readers served",
        met,
    })
}

/// The responses to clients that log in repeatedly, by status.
#[derive(Default)]
struct Storm {
    good: AtomicU32,
    refused: AtomicU32,
    odd: AtomicU32,
    slowest_refusal_millis: AtomicU32,
}

/// Runs `during` while `clients` log in as fast as they get responses.
fn in_a_storm<T>(
    address: &str,
    path: &str,
    clients: usize,
    storm: &Storm,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            let attempt = || -> Result<()> {
                let mut connection = Connection::open(address)?;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answer = connection.post(path, &login_body("storm@example.com"))?;
                    match answer.status {
                        200 => storm.good.fetch_add(1, Ordering::Relaxed),
                        503 if answer.retry_after.is_some() => {
                            let millis = began.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
                            storm.slowest_refusal_millis.fetch_max(millis, Ordering::Relaxed);
                            // Waits like a real client, but shorter than `Retry-After`.
                            thread::sleep(Duration::from_secs(1));
                            storm.refused.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => storm.odd.fetch_add(1, Ordering::Relaxed),
                    };
                }
                Ok(())
            };
            let spawned = thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, move || {
                if attempt().is_err() {
                    storm.odd.fetch_add(1, Ordering::Relaxed);
                }
            });
            spawned.context("a thread")?;
        }
        thread::sleep(Duration::from_secs(1));
        let result = during();
        stop.store(true, Ordering::Relaxed);
        result
    })
}
