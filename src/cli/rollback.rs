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
    db::rollback::{self, Plan},
};

#[derive(Args)]
pub(super) struct Arguments {
    /// How many migrations to revert, the newest first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Revert without a question
    #[arg(long)]
    yes: bool,
    /// The name of the database; required in production, so that the settings of another one do no harm
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
}

/// Reverts all of the migrations or none, once the operator has seen what that loses.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    as_owner(config, IfMissing::Fail, |conn| {
        let plan = rollback::plan(conn, arguments.steps.into())?;
        print_plan(&plan)?;
        confirm(config.profile, &plan.database, arguments)?;
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

fn confirm(profile: Profile, database: &str, arguments: &Arguments) -> Result<()> {
    if let Some(name) = &arguments.database {
        ensure!(name == database, "nothing was reverted: the database is {database:?}, not {name:?}");
    }
    match (profile, arguments.yes, &arguments.database) {
        (Profile::Production, true, Some(_)) | (Profile::Development, true, _) => Ok(()),
        (Profile::Production, ..) => {
            bail!(
                "nothing was reverted: production requires --yes and --database with the name of the database"
            )
        }
        (Profile::Development, false, _) if io::stdin().is_terminal() => ask(),
        (Profile::Development, false, _) => bail!("nothing was reverted: repeat it with --yes"),
    }
}

fn ask() -> Result<()> {
    print("Type yes to revert:")?;
    let mut answer = String::new();
    io::stdin().lock().take(100).read_line(&mut answer)?;
    ensure!(answer.trim() == "yes", "nothing was reverted");
    Ok(())
}
