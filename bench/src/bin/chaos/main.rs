//! Breaks the services that Mintage depends on, under load, and reports the effects. `make chaos` writes
//! `bench/FAULTS.md`.
//!
//! All trials share one PostgreSQL; each has accounts and servers of its own. Some rows are claims that hold on any
//! machine (nothing is lost, no request is dropped, the server recovers by itself). The others are times, which depend
//! on the machine and its load. With `--claims` only the claims decide the exit status. Arguments name the trials.

mod cluster;
mod database;
mod ends;
mod load;
mod locks;
mod logs;
mod path;
mod peers;
mod server;

use std::{env, fmt::Display, fs, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use mintage_bench::sys;

use self::cluster::Cluster;

type Trial = fn(&mut Cluster) -> Result<Vec<Row>>;

const TRIALS: [(&str, Trial); 14] = [
    ("killed", database::killed),
    ("frozen", database::frozen),
    ("dropped", database::dropped),
    ("half-open", database::half_open),
    ("slow-path", database::slow_path),
    ("session-row", locks::session_row),
    ("user-row", locks::user_row),
    ("slow-rows", locks::slow_rows),
    ("log", logs::gone),
    ("mail", peers::mail),
    ("providers", peers::providers),
    ("stopped", ends::stopped),
    ("server-killed", ends::killed),
    ("crowd", ends::crowd),
];

/// One line of the table.
pub struct Row {
    trial: String,
    what: String,
    target: String,
    measured: String,
    holds: bool,
    is_time: bool,
}

impl Row {
    /// A claim that holds on any machine.
    fn exact(trial: &str, what: &str, target: &str, measured: impl Display, holds: bool) -> Self {
        let [trial, what, target] = [trial, what, target].map(str::to_owned);
        Self { trial, what, target, measured: measured.to_string(), holds, is_time: false }
    }

    fn timed(trial: &str, what: &str, target: &str, measured: impl Display, holds: bool) -> Self {
        Self { is_time: true, ..Self::exact(trial, what, target, measured, holds) }
    }
}

fn main() -> Result<ExitCode> {
    let (options, wanted): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word.starts_with("--"));
    ensure!(options.iter().all(|option| option == "--claims"), "the only option is --claims");
    for name in &wanted {
        ensure!(TRIALS.iter().any(|(known, _)| known == name), "there is no trial {name}");
    }
    let began = Instant::now();
    let mut cluster = Cluster::start()?;
    let mut rows = Vec::new();
    for (name, trial) in TRIALS {
        if wanted.is_empty() || wanted.iter().any(|one| *one == name) {
            eprintln!("trying {name} …");
            rows.extend(trial(&mut cluster).with_context(|| format!("the trial {name}"))?);
        }
    }
    let table = table(&rows);
    println!("{table}");
    if wanted.is_empty() && options.is_empty() {
        fs::write("bench/FAULTS.md", table)?;
    }
    let failed = |is_time| rows.iter().filter(|row| !row.holds && row.is_time == is_time).count();
    let (claims, times) = (failed(false), failed(true));
    println!(
        "{} rows: {claims} claims and {times} times do not hold; {} s",
        rows.len(),
        began.elapsed().as_secs()
    );
    let decides = claims + if options.is_empty() { times } else { 0 };
    Ok(if decides == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "# Faults\n\nWritten by `make chaos` on {}; the clients run on the same cores.\n\n\
         | fault | what | target | measured | |\n|---|---|---|---|---|\n",
        sys::describe_machine()
    );
    let mut last = "";
    for row in rows {
        let trial = if row.trial == last { "…" } else { &row.trial };
        let mark = if row.holds { "holds" } else { "**does not hold**" };
        text += &format!("| {trial} | {} | {} | {} | {mark} |\n", row.what, row.target, row.measured);
        last = &row.trial;
    }
    text
}
