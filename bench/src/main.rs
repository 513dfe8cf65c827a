//! Measures Mintage against its baselines and writes `bench/RESULTS.md`; `make bench`.
//!
//! Each figure is the ratio of two measurements, interleaved in one run, and the median of several rounds. So other
//! work on the machine affects both measurements.

mod rows;
mod wrk;

use std::{env, fs};

use anyhow::Result;
use mintage_bench::sys;

/// One line of the table.
pub struct Row {
    pub what: &'static str,
    pub measured: String,
    pub result: String,
    pub target: &'static str,
    pub met: bool,
}

fn main() -> Result<()> {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let mut rows = Vec::new();
    for (name, measure) in rows::ALL {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            eprintln!("measuring {name} …");
            for row in measure()? {
                eprintln!("  {}: {} ({}) {}", row.what, row.result, row.measured, row.target);
                rows.push(row);
            }
        }
    }
    let table = table(&rows);
    println!("{table}");
    if wanted.is_empty() {
        fs::write("bench/RESULTS.md", table)?;
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "# Results\n\nWritten by `make bench` on {}. The load generator (wrk) runs on the same cores; CPU is user and \
         system time of the process by the kernel's account, PostgreSQL's apart.\n\n\
         | what | measured | result | target | |\n|---|---|---|---|---|\n",
        sys::describe_machine()
    );
    for Row { what, measured, result, target, met } in rows {
        let mark = if *met { "met" } else { "**not met**" };
        text += &format!("| {what} | {measured} | **{result}** | {target} | {mark} |\n");
    }
    text
}
