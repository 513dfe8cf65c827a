//! `mintage users`

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use diesel::{Connection, PgConnection};

use super::{database::with_connection, output::print};
use crate::{
    audit::{Actor, Event},
    auth::import::{self, Format, Import, MAX_FILE, OnConflict, Report},
    config::Config,
    db,
    http::Problem,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Import accounts of another system, all or none
    Import(Arguments),
}

#[derive(Args)]
pub(super) struct Arguments {
    /// CSV with a heading (`.csv`), or one JSON object a line (`.ndjson`, `.jsonl`); see `docs/accounts.md`
    file: PathBuf,
    /// Do everything but keep the accounts
    #[arg(long)]
    dry_run: bool,
    /// Leave out lines whose address or username an account has
    #[arg(long)]
    skip_existing: bool,
    /// Accept lines with the role `admin`
    #[arg(long)]
    allow_admins: bool,
}

pub(super) fn run(config: &Config, Command::Import(arguments): &Command) -> Result<()> {
    let format = match arguments.file.extension().and_then(|end| end.to_str()) {
        Some("csv") => Format::Csv,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => bail!("the name of the file must end in .csv, .ndjson or .jsonl"),
    };
    let length = fs::metadata(&arguments.file).context("cannot read the file")?.len();
    ensure!(length <= MAX_FILE as u64, "the file must have at most {} MiB", MAX_FILE / 1024 / 1024);
    let file = fs::read(&arguments.file).context("cannot read the file")?;
    with_connection(config, |conn| {
        let report = import_file(conn, &file, format, arguments)?;
        let Report { lines, created, skipped, .. } = report;
        let would = if arguments.dry_run { "would create" } else { "created" };
        Ok(print(format_args!("read {lines} lines, {would} {created} accounts, skipped {skipped}"))?)
    })
}

fn import_file(
    conn: &mut PgConnection,
    file: &[u8],
    format: Format,
    arguments: &Arguments,
) -> Result<Report> {
    let now = db::now(conn)?;
    let event = |kind, user| {
        let event = Event::new(kind, Actor::Operator);
        match user {
            Some(user) => event.about(user),
            None => event,
        }
    };
    let on_conflict = if arguments.skip_existing { OnConflict::Skip } else { OnConflict::Fail };
    let how =
        Import { format, on_conflict, allow_admins: arguments.allow_admins, invite: None, event: &event };
    let work = |conn: &mut PgConnection| import::import(conn, file, &how, now);
    let done = if arguments.dry_run { import::undone(conn, work) } else { conn.transaction(work) };
    done.map_err(|problem: Problem| {
        let errors: Vec<String> = problem.errors().iter().map(|error| format!("  {error}")).collect();
        anyhow::anyhow!("{problem}\n{}", errors.join("\n"))
    })
}
