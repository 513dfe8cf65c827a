//! `mintage check-config`

use actix_web::rt::System;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{database::with_connection, output::print};
use crate::{
    config::{Config, Setting},
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

#[derive(Args)]
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

/// Prints the settings, which have been read and checked before, and the results of the checks last.
pub(super) fn run(config: &Config, settings: &[Setting], arguments: &Arguments) -> Result<()> {
    if !arguments.json {
        settings.iter().try_for_each(print)?;
        print("")?;
    }
    if let Some(path) = &config.social.queries {
        read_queries(path)?;
    }
    let mailer = Mailer::new(&config.mail, None)?;
    let mut results = Vec::new();
    let mut passed = |name: &str, result: &str| {
        results.push(name.to_owned());
        if arguments.json { Ok(()) } else { print(result) }
    };
    passed("settings", "the settings are valid")?;
    if arguments.checks.database {
        with_connection(config, migrate::check_current)?;
        passed("database", "the database answers and its schema is current")?;
    }
    if arguments.checks.smtp {
        System::new().block_on(mailer.check())?;
        passed("smtp", "the mail server answers and accepts the login")?;
    }
    if arguments.checks.storage {
        System::new().block_on(check_storage(config))?;
        passed("storage", "the storage accepts, returns and deletes files")?;
    }
    if arguments.json {
        let report = json!({"settings": settings, "warnings": config.warnings, "passed": results});
        print(format_args!("{report:#}"))?;
    }
    Ok(())
}

async fn check_storage(config: &Config) -> Result<()> {
    let storage = Storage::open(&config.storage)?;
    let (key, content) = (format!("check-config/{}", Uuid::now_v7()), b"a check".to_vec());
    storage.put(&key, content.clone()).await.context("the storage accepts no file")?;
    let read = storage.get(&key, content.len()).await.context("the storage returns no file")?;
    storage.delete(&key).await.context("the storage deletes no file")?;
    ensure!(read.as_ref() == Some(&content), "the storage returns another content than it was given");
    Ok(())
}
