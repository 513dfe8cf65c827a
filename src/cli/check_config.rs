//! `mintage check-config`

use actix_web::rt::System;
use anyhow::Result;
use clap::Args;

use super::{database::with_connection, output::print};
use crate::{config::Config, db::migrate, mail::Mailer, social::read_queries};

#[derive(Args)]
pub(super) struct Arguments {
    /// Also connect to the database and check that its schema is current
    #[arg(long)]
    database: bool,
    /// Also connect to the mail server and log in
    #[arg(long)]
    smtp: bool,
}

/// Prints the settings, which have been read and checked before; secrets are printed as `[secret]`.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    print(format_args!("{config:#?}"))?;
    if let Some(path) = &config.social.queries {
        read_queries(path)?;
    }
    let mailer = Mailer::new(&config.mail, None)?;
    print("the settings are valid")?;
    if arguments.database {
        with_connection(config, migrate::check_current)?;
        print("the database answers and its schema is current")?;
    }
    if arguments.smtp {
        System::new().block_on(mailer.check())?;
        print("the mail server answers and accepts the login")?;
    }
    Ok(())
}
