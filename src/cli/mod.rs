//! The command line.

mod audit;
mod check_config;
mod create_admin;
mod database;
mod healthcheck;
mod keys;
mod manual;
mod output;
mod rollback;
mod send_test_mail;
mod serve;
mod sessions;
mod users;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use clap_complete::Shell;

use self::{
    database::IfMissing,
    output::{Unprinted, print},
};
use crate::{
    app,
    config::{Config, Setting},
    db::migrate,
    telemetry,
};

/// Serves accounts, JWTs, sessions, user management and coins as a JSON API on PostgreSQL
///
/// Settings are read from the environment and from `.env`; `.env.example` lists all of them.
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
    /// Revert the newest migrations, after a list of what is lost
    ///
    /// Lists the tables, columns and rows that are lost, with their numbers, then asks unless `--yes` is given. Stop the
    /// servers first: those of this version cannot work with the former schema.
    Rollback(rollback::Arguments),
    /// Grant the role of the server its rights, or open the embedded database
    #[command(subcommand)]
    Database(database::Command),
    /// Print the OpenAPI document
    Openapi {
        /// Version of OpenAPI: 3.1, or 3.0 for generators that do not read 3.1
        #[arg(long, default_value = "3.1", value_parser = ["3.1", "3.0"])]
        version: String,
    },
    /// Create an admin, or promote an account to admin and set its password
    CreateAdmin(create_admin::Arguments),
    /// List, rotate or revoke signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// End the sessions of one account or of all
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Import accounts
    #[command(subcommand)]
    Users(users::Command),
    /// Verify the audit trail
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check the settings and print the effective ones
    CheckConfig(check_config::Arguments),
    /// Let the running server send a test mail
    SendTestMail(send_test_mail::Arguments),
    /// Check that the server answers; for containers
    Healthcheck,
    /// Print the completions for a shell
    ///
    /// For bash: `mintage completions bash > ~/.local/share/bash-completion/completions/mintage`.
    Completions { shell: Shell },
    /// Write the manual pages, one for each command, into a directory that exists
    ///
    /// To install them: `mintage man /usr/local/share/man/man1`.
    Man { directory: PathBuf },
}

/// Parses the arguments, runs the command and returns the exit code.
pub fn run() -> i32 {
    let _flush = telemetry::FlushAtEnd;
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    let serves = matches!(command, Command::Serve);
    match dispatch(command) {
        Ok(()) => 0,
        // The reader has closed the pipe, as in `mintage openapi | head`.
        Err(error) if error.downcast_ref().is_some_and(Unprinted::is_closed_pipe) => 0,
        Err(error) => {
            let error = format!("{error:#}");
            // Collectors of logs read the end of a server, and people that of a command.
            if serves && telemetry::is_json() {
                tracing::error!(error, "the server has ended");
            } else {
                telemetry::write_line(&format!("mintage: {error}"));
            }
            1
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Openapi { version } => print_document(&version),
        Command::Completions { shell } => manual::print_completions(shell),
        Command::Man { directory } => manual::write_pages(&directory),
        // It runs every few seconds, so it logs no warnings.
        Command::Healthcheck => healthcheck::run(&settings()?.0),
        Command::CheckConfig(arguments) => match settings() {
            Ok((config, listed)) => check_config::run(warned(&config), &listed, &arguments),
            Err(error) => check_config::report_invalid(error, &arguments),
        },
        Command::Serve => serve::run(config()?),
        Command::Migrate => database::as_owner(&config()?, IfMissing::Create, |conn| {
            let applied = migrate::run(conn)?;
            if applied.is_empty() {
                print("nothing to apply")?;
            }
            Ok(applied.iter().try_for_each(|name| print(format_args!("applied {name}")))?)
        }),
        Command::Rollback(arguments) => rollback::run(&config()?, &arguments),
        Command::Database(command) => database::run(&config()?, &command),
        Command::CreateAdmin(arguments) => create_admin::run(&config()?, &arguments),
        Command::Keys(command) => keys::run(&config()?, &command),
        Command::Sessions(command) => sessions::run(&config()?, &command),
        Command::Users(command) => users::run(&config()?, &command),
        Command::Audit(command) => audit::run(&config()?, &command),
        Command::SendTestMail(arguments) => send_test_mail::run(&config()?, &arguments),
    }
}

/// Reads the settings, begins the log with them, and lists where each comes from.
fn settings() -> Result<(Config, Vec<Setting>)> {
    let (config, listed) = Config::load(&app::specs())?;
    telemetry::init(&config.log);
    Ok((config, listed))
}

/// As [`settings`], and logs the warnings about them.
fn config() -> Result<Config> {
    let (config, _) = settings()?;
    warned(&config);
    Ok(config)
}

fn warned(config: &Config) -> &Config {
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    config
}

fn print_document(version: &str) -> Result<()> {
    let text = if version == "3.0" {
        serde_json::to_string_pretty(&app::document_30())
    } else {
        app::document().to_pretty_json()
    };
    Ok(print(text?)?)
}
