//! Measures texts scored for sentiment per second.

use std::process::Command;

use anyhow::{Context, Result};
use mintage_bench::process::sibling;

use super::{ROUNDS, median};
use crate::Row;

pub fn vader() -> Result<Vec<Row>> {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let output = Command::new(sibling("vader")?).arg("4").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (scored, floor) = text.trim().split_once(' ').context("two numbers")?;
        let (scored, floor): (f64, f64) = (scored.parse()?, floor.parse()?);
        rates.push(scored);
        ratios.push(floor / scored);
    }
    let rate = median(rates);
    Ok(vec![Row {
        what: "sentiment: texts scored by VADER a second on one core, against splitting and lower-casing them",
        measured: format!("{:.1}x the time", median(ratios)),
        result: format!("{rate:.0} texts a second"),
        target: ">= 100,000",
        met: rate >= 100_000.0,
    }])
}
