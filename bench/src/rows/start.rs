//! Measures the start of Mintage and its memory when idle.

use std::{thread, time::Duration};

use anyhow::Result;
use mintage_bench::{
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
