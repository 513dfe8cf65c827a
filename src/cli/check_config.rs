//! Runs `mintage check-config`: checks the settings without serving.

use actix_web::rt::System;
use anyhow::Result;
use clap::Args;

use super::{database::with_connection, output::print};
use crate::{config::Config, db::migrate, mail::Mailer, social::read_queries};

#[derive(Args)]
pub(super) struct Arguments {
    /// Also connect to the database and look at its schema
    #[arg(long)]
    database: bool,
    /// Also connect to the mail server and log in
    #[arg(long)]
    smtp: bool,
}

/// Getting here means that every setting could be read; secrets print as `[secret]`.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    print(format_args!("{config:#?}"))?;
    if let Some(path) = &config.social.queries {
        read_queries(path)?;
    }
    let mailer = Mailer::new(&config.mail)?;
    print("the settings are usable")?;
    if arguments.database {
        with_connection(config, migrate::check_current)?;
        print("the database answers and its schema is current")?;
    }
    if arguments.smtp {
        System::new().block_on(mailer.check())?;
        print("the mail server answers and lets us in")?;
    }
    Ok(())
}
