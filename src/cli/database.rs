//! Opens the database: that of the settings or the embedded cluster.

use anyhow::{Result, bail};
use diesel::PgConnection;

use crate::{
    config::{Config, Secret, SecretKey},
    db::{connect_patiently, naming_locks},
    embedded::{Cluster, EmbeddedError},
};

/// A database, and the embedded cluster if this process has started it and must stop it.
pub(super) struct Database {
    pub url: Secret,
    pub cluster: Option<Cluster>,
}

impl Database {
    /// Starts the embedded cluster unless the settings name a database.
    ///
    /// # Errors
    /// The embedded cluster does not start; another process may be using it.
    pub fn start(config: &Config) -> Result<Self> {
        if let Some(url) = &config.database.url {
            return Ok(Self { url: url.clone(), cluster: None });
        }
        let cluster = Cluster::start(&config.data_dir)?;
        Ok(Self { url: Secret::new(cluster.url()), cluster: Some(cluster) })
    }

    /// As [`Database::start`], but shares the embedded cluster with a running server.
    fn start_or_share(config: &Config) -> Result<Self> {
        match Self::start(config) {
            Err(error) => match error.downcast_ref::<EmbeddedError>() {
                Some(EmbeddedError::AlreadyRunning { .. }) => {
                    Ok(Self { url: Secret::new(Cluster::url_of_running(&config.data_dir)?), cluster: None })
                }
                _ => Err(error),
            },
            started => started,
        }
    }

    pub fn stop(self) {
        if let Some(cluster) = self.cluster {
            cluster.stop();
        }
    }
}

/// Does the work of a command with a connection.
pub(super) fn with_connection<T>(
    config: &Config,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let database = Database::start_or_share(config)?;
    let result = connect_patiently(&database.url, &config.database)
        .and_then(|mut conn| naming_locks(&database.url, &mut conn, work));
    database.stop();
    result
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
