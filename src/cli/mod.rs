//! The command line.

mod check_config;
mod create_admin;
mod database;
mod healthcheck;
mod keys;
mod output;
mod send_test_mail;
mod serve;
mod sessions;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::output::{Unprinted, print};
use crate::{app, config::Config, db::migrate, telemetry};

/// Accounts, JWTs, sessions, user management and coins over JSON, on PostgreSQL.
///
/// Settings come from the environment and from `.env`; `.env.example` lists them all.
#[derive(Parser)]
#[command(name = "mintage", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve,
    /// Apply pending migrations
    Migrate,
    /// Revert the newest migrations
    Rollback {
        /// How many
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Create an account with the role admin, or give an existing one that role and a new password
    CreateAdmin(create_admin::Arguments),
    /// Look at or rotate the signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// End sessions, of one user or of all
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Check the settings and print the effective ones
    CheckConfig(check_config::Arguments),
    /// Have the running server send a mail, to see whether it arrives
    SendTestMail(send_test_mail::Arguments),
    /// Ask the running server whether it lives
    Healthcheck,
}

/// Parses the arguments and runs the command.
#[must_use]
pub fn run() -> ExitCode {
    let _flush = telemetry::FlushAtEnd;
    match dispatch(Cli::parse().command.unwrap_or(Command::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        // As of `mintage openapi | head`, which has what it wants.
        Err(error) if error.downcast_ref().is_some_and(Unprinted::nobody_reads) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::write_line(&format!("mintage: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    if let Command::Openapi = command {
        return Ok(print(app::document().to_pretty_json()?)?);
    }
    let config = Config::load()?;
    telemetry::init(&config.log);
    // The health check runs every few seconds.
    if !matches!(command, Command::Healthcheck) {
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    match command {
        Command::Serve => serve::run(config),
        Command::Migrate => database::with_connection(&config, |conn| {
            Ok(print_all("applied", &migrate::run(conn)?, "nothing to apply")?)
        }),
        Command::Rollback { steps } => database::with_connection(&config, |conn| {
            Ok(print_all("reverted", &migrate::rollback(conn, steps)?, "nothing to revert")?)
        }),
        Command::CreateAdmin(arguments) => create_admin::run(&config, &arguments),
        Command::Keys(command) => keys::run(&config, &command),
        Command::Sessions(command) => sessions::run(&config, &command),
        Command::CheckConfig(arguments) => check_config::run(&config, &arguments),
        Command::SendTestMail(arguments) => send_test_mail::run(&config, &arguments),
        Command::Healthcheck => healthcheck::run(&config),
        Command::Openapi => unreachable!("handled above, since it needs no settings"),
    }
}

fn print_all(verb: &str, names: &[String], nothing: &str) -> Result<(), Unprinted> {
    if names.is_empty() {
        print(nothing)?;
    }
    names.iter().try_for_each(|name| print(format_args!("{verb} {name}")))
}
