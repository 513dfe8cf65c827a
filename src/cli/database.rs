//! Where the database is: the one that the settings name, or the embedded cluster.

use anyhow::{Result, bail};
use diesel::PgConnection;

use crate::{
    config::{Config, Secret, SecretKey},
    db::{connect_patiently, naming_locks},
    embedded::{Cluster, EmbeddedError},
};

/// A database to use, and the cluster to stop afterwards if we started it.
pub(super) struct Database {
    pub url: Secret,
    pub cluster: Option<Cluster>,
}

impl Database {
    /// # Errors
    /// The embedded cluster does not start; another mintage may be using it.
    pub fn start(config: &Config) -> Result<Self> {
        if let Some(url) = &config.database.url {
            return Ok(Self { url: url.clone(), cluster: None });
        }
        let cluster = Cluster::start(&config.data_dir)?;
        Ok(Self { url: Secret::new(cluster.url()), cluster: Some(cluster) })
    }

    /// As [`Database::start`], but uses the cluster of a server that is running.
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

/// For the commands that do one thing and end.
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

/// The configured secret key, or in development the one in the data directory, made at the first start.
///
/// # Errors
/// It is not there although the database `has_keys` that only it opens: a new one would be of no use.
pub(super) fn secret_key(config: &Config, has_keys: impl FnOnce() -> Result<bool>) -> Result<SecretKey> {
    if let Some(key) = existing(config)? {
        return Ok(key);
    }
    let is_needed = has_keys()?;
    match existing(config)? {
        // Another first start has made both meanwhile.
        Some(key) => Ok(key),
        None if is_needed => bail!(
            "{} is missing, and without it the signing keys in the database cannot be opened: {}",
            SecretKey::path(&config.data_dir).display(),
            SecretKey::WAYS_ON
        ),
        None => Ok(SecretKey::generate(&config.data_dir)?),
    }
}

/// As [`secret_key`], where nothing has to be opened with it: makes a new one if there is none.
pub(super) fn secret_key_to_begin_with(config: &Config) -> Result<SecretKey> {
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
