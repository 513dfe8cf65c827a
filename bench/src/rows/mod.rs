//! The measurements, one file each.

mod backfill;
mod blocklist;
mod enumeration;
mod keys;
mod limits;
mod logins;
mod reads;
mod refresh;
mod slot;
mod start;
mod storm;
mod streams;
mod users;
mod vader;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use mintage_bench::{
    http::Connection,
    process::{Home, Mintage, PASSWORD},
    sys,
};

use crate::{Row, wrk};

type Measure = fn() -> Result<Vec<Row>>;

pub const ALL: [(&str, Measure); 15] = [
    ("reads", reads::reads),
    ("keys", keys::keys),
    ("blocklist", blocklist::blocklist),
    ("limits", limits::limits),
    ("logins", logins::logins),
    ("storm", storm::storm),
    ("refresh", refresh::refresh),
    ("users", users::users),
    ("vader", vader::vader),
    ("streams", streams::streams),
    ("slot", slot::slot),
    ("backfill", backfill::backfill),
    ("start", start::start),
    ("first-start", start::first_start),
    ("enumeration", enumeration::enumeration),
];

const ROUNDS: usize = 5;
const MAX_WAIT: Duration = Duration::from_mins(15);
const COST: &str = "12";

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Waits until a condition holds.
fn wait_for(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up_at = Instant::now() + MAX_WAIT;
    while !condition()? {
        if Instant::now() > give_up_at {
            bail!("waited in vain for {what}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn hash_threads() -> usize {
    cores().saturating_sub(1).max(1)
}

/// CPU microseconds per request of one process under wrk.
fn cpu_of_load(pid: u32, url: &str, headers: &[String]) -> Result<f64> {
    let before = sys::cpu_micros(pid);
    let load = wrk::run(url, 32, 3, headers)?;
    Ok((sys::cpu_micros(pid) - before) as f64 / load.requests)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn save_body(server: &Mintage, home: &Home, token: &str, name: &str, path: &str) -> Result<String> {
    let body = Connection::open(&server.address)?.get(path, token)?.body;
    let path = home.0.join(name);
    fs::write(&path, body)?;
    Ok(path.display().to_string())
}

fn login_body(email: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#)
}
