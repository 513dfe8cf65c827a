//! Measures the memory that filling the history of coins takes.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use mintage_bench::{
    fakes,
    process::{Home, Mintage},
    sys,
};

use crate::Row;

/// Each has a history of days and one of hours.
const COINS: usize = 20;
const IDLE: Duration = Duration::from_secs(60);
/// Each history waits until ten seconds after the one before. The memory is that of one history, so the wait is cut short.
const CUT: &str = "UPDATE coin_backfills SET busy_until = now() WHERE busy_until > now()";
const DONE: &str = "SELECT count(*) FROM coin_backfills WHERE done_at IS NOT NULL";

pub fn backfill() -> Result<Vec<Row>> {
    let (coingecko, home) = (fakes::coingecko(COINS)?, Home::new()?);
    let idle = peak(&home.0, &coingecko, "off", |_| {
        thread::sleep(IDLE);
        Ok(())
    })?;
    let began = Instant::now();
    let filling = peak(&home.0, &coingecko, "on", |server| {
        super::wait_for("all histories", || {
            server.sql(CUT)?;
            thread::sleep(Duration::from_millis(250));
            Ok(server.sql(DONE)? == (2 * COINS).to_string())
        })
    })?;
    let seconds = began.elapsed().as_secs();
    let rows: usize = {
        let server = Mintage::start(&home.0)?;
        server.sql("SELECT count(*) FROM coin_history WHERE sources = '{coingecko}'")?.parse()?
    };
    ensure!(rows > COINS * (364 + 89 * 24), "{rows} points");
    let added = filling - idle;
    Ok(vec![Row {
        what: "history of 20 coins from CoinGecko (365 days, 90 days of hours): peak memory of the process, less that \
               of as many slots without",
        measured: format!("{filling:.1} MB against {idle:.1} MB; {rows} points in {seconds} s"),
        result: format!("{added:.1} MB more"),
        target: "<= 32 MB more",
        met: added <= 32.0,
    }])
}

/// Returns the peak of the memory of a server in MB, from its start until `wait` returns.
fn peak(home: &Path, coingecko: &str, backfill: &str, wait: impl Fn(&Mintage) -> Result<()>) -> Result<f64> {
    let settings = [
        ("COINS_PROVIDERS", "coingecko"),
        ("COINGECKO_URL", coingecko),
        ("COINS_SYNC_INTERVAL", "10s"),
        ("SOCIAL_PROVIDERS", "none"),
        ("COINS_BACKFILL", backfill),
    ];
    let server = Mintage::start_with(home, &settings)?;
    wait(&server)?;
    Ok(sys::peak_kb(server.pid()) as f64 / 1024.0)
}
