//! Opens the database, that of the settings or the embedded cluster; `mintage database`.

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use diesel::PgConnection;

use super::output::print;
use crate::{
    config::{self, Config, Secret, SecretKey},
    db::{connect_patiently, migrate, naming_locks, rights},
    embedded::{Cluster, EmbeddedError},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Give the role of the server the rights it needs, and take away all others
    Grant(Grant),
}

#[derive(Args)]
pub(super) struct Grant {
    /// The role that servers connect as; it must exist and own nothing
    ///
    /// Run it as the owner of the tables (`DATABASE_MIGRATION_URL`, else `DATABASE_URL`), again after each `mintage migrate`.
    role: String,
}

pub(super) fn run(config: &Config, command: &Command) -> Result<()> {
    let Command::Grant(Grant { role }) = command;
    let left = as_owner(config, |conn| rights::grant(conn, role))?;
    ensure!(
        left.is_empty(),
        "the rights were granted, but {role:?} may still {}: revoke that from PUBLIC as the owner of the database or as a \
         superuser",
        left.join(" and ")
    );
    Ok(print(format_args!("{role} has the rights of a server"))?)
}

/// A database, and the embedded cluster if this process has started it and must stop it.
pub(super) struct Database {
    /// With the URLs of the cluster, if it is embedded.
    pub settings: config::Database,
    pub cluster: Option<Cluster>,
}

impl Database {
    /// Starts the embedded cluster unless the settings name a database.
    ///
    /// # Errors
    /// The embedded cluster does not start; another process may be using it.
    pub fn start(config: &Config) -> Result<Self> {
        if config.database.url.is_some() {
            return Ok(Self { settings: config.database.clone(), cluster: None });
        }
        let cluster = Cluster::start(&config.data_dir)?;
        let settings = embedded(config, [cluster.url(), cluster.owner_url()]);
        Ok(Self { settings, cluster: Some(cluster) })
    }

    /// As [`Database::start`], but shares the embedded cluster with a running server.
    fn start_or_share(config: &Config) -> Result<Self> {
        match Self::start(config) {
            Err(error) => match error.downcast_ref::<EmbeddedError>() {
                Some(EmbeddedError::AlreadyRunning { .. }) => {
                    let settings = embedded(config, Cluster::urls_of_running(&config.data_dir)?);
                    Ok(Self { settings, cluster: None })
                }
                _ => Err(error),
            },
            started => started,
        }
    }

    /// As the role of the server.
    pub fn url(&self) -> &Secret {
        self.settings.url.as_ref().expect("resolved at the start")
    }

    pub fn stop(self) {
        if let Some(cluster) = self.cluster {
            cluster.stop();
        }
    }
}

fn embedded(config: &Config, [server, owner]: [String; 2]) -> config::Database {
    let (url, migration_url) = (Some(Secret::new(server)), Some(Secret::new(owner)));
    config::Database { url, migration_url, ..config.database.clone() }
}

/// Does the work of a command with a connection, as the role of the server.
pub(super) fn with_connection<T>(
    config: &Config,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    with_database(config, |database| connected(database, database.url(), work))
}

/// As [`with_connection`], after migrations as at the start of a server.
pub(super) fn with_prepared<T>(
    config: &Config,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    with_database(config, |database| {
        connected(database, database.url(), |conn| {
            migrate::prepare(conn, &database.settings)?;
            work(conn)
        })
    })
}

/// As [`with_connection`], as the owner of the database.
pub(super) fn as_owner<T>(config: &Config, work: impl FnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
    with_database(config, |database| {
        connected(database, database.settings.migration_url.as_ref().unwrap_or(database.url()), work)
    })
}

fn with_database<T>(config: &Config, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
    let database = Database::start_or_share(config)?;
    let result = work(&database);
    database.stop();
    result
}

fn connected<T>(
    database: &Database,
    url: &Secret,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let mut conn = connect_patiently(url, &database.settings)?;
    naming_locks(url, &mut conn, work)
}

/// Returns the configured secret key, or in development the one in the data directory, which the first start makes.
///
/// # Errors
/// It is missing although the database has signing keys (`has_keys`) that only it decrypts.
pub(super) fn secret_key(config: &Config, has_keys: impl FnOnce() -> Result<bool>) -> Result<SecretKey> {
    if let Some(key) = existing(config)? {
        return Ok(key);
    }
    let is_needed = has_keys()?;
    match existing(config)? {
        // Another process has made both in the meantime.
        Some(key) => Ok(key),
        None if is_needed => bail!(
            "{} is missing, but the signing keys in the database are encrypted with it: {}",
            SecretKey::path(&config.data_dir).display(),
            SecretKey::REMEDY
        ),
        None => Ok(SecretKey::generate(&config.data_dir)?),
    }
}

/// As [`secret_key`], for a command that replaces the signing keys: makes a new one if there is none.
pub(super) fn secret_key_or_new(config: &Config) -> Result<SecretKey> {
    match existing(config)? {
        Some(key) => Ok(key),
        None => Ok(SecretKey::generate(&config.data_dir)?),
    }
}

fn existing(config: &Config) -> Result<Option<SecretKey>> {
    match &config.secret_key {
        Some(key) => Ok(Some(key.clone())),
        None => Ok(SecretKey::load(&config.data_dir)?),
    }
}
