//! `mintage check-config`

use actix_web::rt::System;
use anyhow::{Context, Error, Result, ensure};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{database::with_connection, output::print};
use crate::{
    config::{Config, ConfigError, Setting},
    db::migrate,
    mail::Mailer,
    social::read_queries,
    storage::Storage,
};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    checks: Checks,
    /// Print one JSON object instead of lines of `.env`
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Copy)]
struct Checks {
    /// Also connect to the database and check that its schema is current
    #[arg(long)]
    database: bool,
    /// Also connect to the mail server and log in
    #[arg(long)]
    smtp: bool,
    /// Also write, read and delete a file in the storage of pictures
    #[arg(long)]
    storage: bool,
}

type Check = fn(&Config) -> Result<()>;

/// Prints the settings, which have been read and checked before, and the results of the checks last.
pub(super) fn run(config: &Config, settings: &[Setting], arguments: &Arguments) -> Result<()> {
    if !arguments.json {
        settings.iter().try_for_each(print)?;
        print("")?;
    }
    let Checks { database, smtp, storage } = arguments.checks;
    let checks: [(bool, &str, &str, Check); 4] = [
        (true, "settings", "the settings are valid", check_settings),
        (database, "database", "the database answers and its schema is current", check_database),
        (smtp, "smtp", "the mail server answers and accepts the login", check_smtp),
        (storage, "storage", "the storage accepts, returns and deletes files", check_storage),
    ];
    let (mut passed, mut failed) = (Vec::new(), None);
    for (_, name, result, check) in checks.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        if let Err(error) = check(config) {
            failed = Some((name, error));
            break;
        }
        passed.push(name);
        if !arguments.json {
            print(result)?;
        }
    }
    if arguments.json {
        let mut report = json!({"settings": settings, "warnings": config.warnings, "passed": passed});
        if let Some((name, error)) = &failed {
            report["failed"] = json!({"name": name, "errors": [format!("{error:#}")]});
        }
        print(format_args!("{report:#}"))?;
    }
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

/// Reports settings that are not valid, each with its error.
pub(super) fn report_invalid(error: Error, arguments: &Arguments) -> Result<()> {
    if let (true, Some(ConfigError(errors))) = (arguments.json, error.downcast_ref()) {
        let report = json!({"passed": [], "failed": {"name": "settings", "errors": errors}});
        print(format_args!("{report:#}"))?;
    }
    Err(error)
}

/// What a start reads beside the settings.
fn check_settings(config: &Config) -> Result<()> {
    if let Some(path) = &config.social.queries {
        read_queries(path)?;
    }
    Mailer::new(&config.mail, None)?;
    Ok(())
}

fn check_database(config: &Config) -> Result<()> {
    with_connection(config, migrate::check_current)
}

fn check_smtp(config: &Config) -> Result<()> {
    System::new().block_on(Mailer::new(&config.mail, None)?.check())
}

fn check_storage(config: &Config) -> Result<()> {
    System::new().block_on(put_and_get(&Storage::open(&config.storage)?))
}

async fn put_and_get(storage: &Storage) -> Result<()> {
    let (key, content) = (format!("check-config/{}", Uuid::now_v7()), b"a check".to_vec());
    storage.put(&key, content.clone()).await.context("the storage accepts no file")?;
    let read = storage.get(&key, content.len()).await;
    // First, so that no file stays.
    let deleted = storage.delete(&key).await;
    let read = read.context("the storage returns no file")?;
    deleted.context("the storage deletes no file")?;
    ensure!(read.as_ref() == Some(&content), "the storage returns another content than it was given");
    Ok(())
}
