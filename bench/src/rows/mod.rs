//! The measurements, one file each.

mod blocklist;
mod enumeration;
mod keys;
mod limits;
mod logins;
mod reads;
mod refresh;
mod start;
mod storm;
mod streams;
mod users;
mod vader;

use std::{fs, thread};

use anyhow::Result;
use mintage_bench::{
    http::Connection,
    process::{Home, Mintage, PASSWORD},
    sys,
};

use crate::{Row, wrk};

type Measure = fn() -> Result<Vec<Row>>;

pub const ALL: [(&str, Measure); 12] = [
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
    ("start", start::start),
    ("enumeration", enumeration::enumeration),
];

const ROUNDS: usize = 5;
const COST: &str = "12";

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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

fn save_body(server: &Mintage, home: &Home, token: &str) -> Result<String> {
    let body = Connection::open(&server.address)?.get("/api/v1/coins", token)?.body;
    let path = home.0.join("body.json");
    fs::write(&path, body)?;
    Ok(path.display().to_string())
}

fn login_body(email: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#)
}
