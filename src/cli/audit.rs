//! `mintage audit`

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use diesel::PgConnection;

use super::{
    database::{secret_key, with_connection},
    output::print,
};
use crate::{
    audit::{self, Report},
    config::Config,
    db,
    tokens::{self, Sealer},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Recompute the hash chain of the audit trail, and name events that were changed or are missing
    Verify(Verify),
}

#[derive(Args)]
pub(super) struct Verify {
    /// An event that an earlier verification printed as the newest: the chain must contain it
    ///
    /// Without it, an attacker who can write to the database and has an old copy of the chain's end can delete the newest
    /// events unnoticed. So keep the printed line outside of the database.
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Option<String>,
}

pub(super) fn run(config: &Config, Command::Verify(arguments): &Command) -> Result<()> {
    let head = arguments.head.as_deref().map(parse_head).transpose()?;
    let report = with_connection(config, |conn| verify(config, conn, head))?;
    report_it(&report)?;
    match report.faults.len() {
        0 => Ok(()),
        _ => bail!("the audit trail does not hold"),
    }
}

fn parse_head(text: &str) -> Result<(i64, &str)> {
    let (seq, hash) = text.split_once(':').context("--head must be NUMBER:HASH")?;
    Ok((seq.parse().context("--head must begin with a number")?, hash))
}

fn verify(config: &Config, conn: &mut PgConnection, head: Option<(i64, &str)>) -> Result<Report> {
    let sealer = Sealer::new(&secret_key(config, || Ok(tokens::has_keys(conn)?))?);
    let now = db::now(conn)?;
    let mut transaction = conn.build_transaction().repeatable_read().read_only();
    Ok(transaction.run(|conn| audit::verify(conn, &sealer, head, now))?)
}

fn report_it(report: &Report) -> Result<()> {
    for fault in &report.faults {
        print(format_args!("FAULT: {fault}"))?;
    }
    if report.more_faults > 0 {
        print(format_args!("FAULT: {} more", report.more_faults))?;
    }
    let Report { verified, erased, unsealed, unverifiable, .. } = report;
    print(format_args!("{verified} events verified; of {erased} the personal data were erased"))?;
    if *unsealed > 0 {
        print(format_args!("{unsealed} events are not sealed yet"))?;
    }
    if *unverifiable > 0 {
        print(format_args!("{unverifiable} events belong to chains whose SECRET_KEY is lost"))?;
    }
    if let Some((seq, hash)) = &report.head {
        print(format_args!("newest event: {seq}:{hash}"))?;
    }
    Ok(())
}
