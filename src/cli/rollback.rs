//! `mintage rollback`

use std::io::{self, BufRead, IsTerminal, Read};

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::{
    database::{IfMissing, as_owner},
    output::{Unprinted, print},
};
use crate::{
    config::{Config, Profile},
    db::{
        rights,
        rollback::{self, Plan},
    },
};

#[derive(Args)]
pub(super) struct Arguments {
    /// How many migrations to revert, the newest first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// The name of the database, as a guard against running with the settings of another database
    ///
    /// Required in production and where `DATABASE_URL` is set.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
}

/// Reverts all of the migrations or none, once the operator has seen what that loses.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    as_owner(config, IfMissing::Fail, |conn| {
        // Before anything else, since even the list locks the tables for a moment.
        check_name(config, &rollback::database(conn)?, arguments.database.as_deref())?;
        ensure!(
            rights::is_owner(conn)?,
            "nothing was reverted: only the owner of the tables can, so set DATABASE_MIGRATION_URL"
        );
        let plan = rollback::plan(conn, arguments.steps.into())?;
        print_plan(&plan)?;
        confirm(config.profile, arguments.yes)?;
        rollback::revert(conn, &plan)?;
        Ok(plan.migrations.iter().try_for_each(|name| print(format_args!("reverted {name}")))?)
    })
}

fn print_plan(plan: &Plan) -> Result<(), Unprinted> {
    let Plan { database, migrations, lost } = plan;
    print(format_args!("In the database {database:?} this reverts:"))?;
    migrations.iter().try_for_each(|name| print(format_args!("  {name}")))?;
    if lost.is_empty() {
        return print("No table, column or row is lost.");
    }
    print("This is lost:")?;
    lost.iter().try_for_each(|line| print(format_args!("  {line}")))?;
    let meanings: Vec<_> = migrations.iter().flat_map(|name| rollback::losses(name)).collect();
    if !meanings.is_empty() {
        print("That means:")?;
    }
    meanings.iter().try_for_each(|line| print(format_args!("  {line}")))?;
    print("Only a backup brings this back.")
}

fn check_name(config: &Config, database: &str, expected: Option<&str>) -> Result<()> {
    let is_required = config.profile == Profile::Production || config.database.url.is_some();
    match expected {
        Some(name) => {
            ensure!(name == database, "nothing was reverted: the database is {database:?}, not {name:?}");
        }
        None => ensure!(
            !is_required,
            "nothing was reverted: --database with the name of the database is required in production and where \
             DATABASE_URL is set"
        ),
    }
    Ok(())
}

fn confirm(profile: Profile, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if profile == Profile::Development && io::stdin().is_terminal() {
        return ask();
    }
    bail!("nothing was reverted: repeat it with --yes")
}

fn ask() -> Result<()> {
    print("Type yes to revert:")?;
    let mut answer = String::new();
    io::stdin().lock().take(100).read_line(&mut answer)?;
    ensure!(answer.trim() == "yes", "nothing was reverted");
    Ok(())
}
