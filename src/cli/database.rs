//! Opens the database, that of the settings or the embedded cluster; `mintage database`.

use std::{ffi::OsString, path, process};

use actix_web::rt::{
    System,
    signal::unix::{SignalKind, signal},
};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use diesel::PgConnection;
use url::Url;

use super::output::print;
use crate::{
    config::{self, Config, Secret, SecretKey},
    db::{connect, connect_patiently, migrate, naming_locks, rights},
    embedded::{Cluster, EmbeddedError, for_others},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Give the role of the server the rights it needs, and take away all others
    Grant(Grant),
    /// Print the URL of the embedded database of a running server
    ///
    /// For programs that show a database. It needs no password, since only this user and root can open its socket.
    Url(Address),
    /// Run a program of PostgreSQL on the embedded database, whether a server is running or not
    ///
    /// The program finds the database by the variables PGHOST, PGPORT, PGUSER and PGDATABASE; those that lead elsewhere, such
    /// as PGSERVICE, are removed. To look into it: `mintage database exec psql`. To back it up:
    /// `mintage database exec --owner pg_dump -Fc -f mintage.dump`.
    Exec(Exec),
}

#[derive(Args)]
pub(super) struct Exec {
    /// As the owner of the tables, who may change and dump everything, instead of the role of the server
    #[arg(long)]
    owner: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

#[derive(Args)]
pub(super) struct Address {
    /// As the owner of the tables, who may change and dump everything, instead of the role of the server
    #[arg(long)]
    owner: bool,
}

#[derive(Args)]
pub(super) struct Grant {
    /// The role that servers connect as; it must exist and own nothing
    ///
    /// Run it as the owner of the tables (`DATABASE_MIGRATION_URL`, else `DATABASE_URL`), again after each `mintage migrate`.
    role: String,
}

pub(super) fn run(config: &Config, command: &Command) -> Result<()> {
    match command {
        Command::Grant(Grant { role }) => grant(config, role),
        Command::Url(Address { owner }) => print_url(config, *owner),
        Command::Exec(Exec { owner, program }) => exec(config, *owner, program),
    }
}

fn grant(config: &Config, role: &str) -> Result<()> {
    let left = as_owner(config, IfMissing::Fail, |conn| rights::grant(conn, role))?;
    ensure!(
        left.is_empty(),
        "the rights were granted, but {role:?} may still {}: revoke that from PUBLIC as the owner of the database or as a \
         superuser",
        left.join(" and ")
    );
    Ok(print(format_args!("{role} has the rights of a server"))?)
}

/// Prints the URL of the embedded database, which holds no secret: the file system guards its socket. That of another
/// database is not printed, since it usually holds a password.
fn print_url(config: &Config, owner: bool) -> Result<()> {
    check_is_embedded(config)?;
    check_exists(config)?;
    let [of_server, of_owner] = Cluster::urls_of_running(&config.data_dir)?;
    let url = Secret::new(if owner { of_owner } else { of_server });
    ensure!(connect(&url).is_ok(), "the embedded database is not running: start the server first");
    Ok(print(for_others(url.expose()))?)
}

/// Variables of libpq for another database: they would lead there, change what statements mean or refuse the connection.
/// A service (`PGSERVICE`) even overrules `PGHOST`.
const REMOVED: [&str; 14] = [
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOSTADDR",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGOPTIONS",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLNEGOTIATION",
    "PGGSSENCMODE",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
];

/// Runs a program with the embedded database, and ends with an error if the program does.
fn exec(config: &Config, owner: bool, program: &[OsString]) -> Result<()> {
    check_is_embedded(config)?;
    // Ctrl-C is for the program: psql cancels a query by it, and this process has to stop the cluster afterwards.
    let system = System::new();
    let _interrupts = system.block_on(async { signal(SignalKind::interrupt()) })?;
    with_database(config, IfMissing::Fail, |database| {
        let url = if owner { database.settings.migration_url.as_ref() } else { None };
        let url = Url::parse(url.unwrap_or(database.url()).expose())?;
        let of =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let mut command = process::Command::new(&program[0]);
        command.args(&program[1..]).env("PGDATABASE", url.path().trim_start_matches('/'));
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(
            [("PGHOST", "host"), ("PGPORT", "port"), ("PGUSER", "user")]
                .map(|(name, key)| (name, of(key).unwrap_or_default())),
        );
        let status = command.status().with_context(|| format!("cannot run {}", program[0].display()))?;
        ensure!(status.success(), "{} failed: {status}", program[0].display());
        Ok(())
    })
}

fn check_is_embedded(config: &Config) -> Result<()> {
    ensure!(
        config.database.url.is_none(),
        "the database is not the embedded one: use the URL in DATABASE_URL"
    );
    Ok(())
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
    ///
    /// # Errors
    /// There is no cluster, and none may be created.
    fn start_or_share(config: &Config, if_missing: IfMissing) -> Result<Self> {
        if config.database.url.is_none() && if_missing == IfMissing::Fail {
            check_exists(config)?;
        }
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

/// What a command does where there is no embedded cluster yet. Only `serve` and `migrate` create one: a command in the
/// wrong directory would otherwise work on an empty database while the server knows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Create,
    Fail,
}

fn check_exists(config: &Config) -> Result<()> {
    let place = path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let exists = Cluster::exists(&config.data_dir)
        .with_context(|| format!("cannot look into {} (DATA_DIR) as this user", place.display()))?;
    ensure!(
        exists,
        "there is no embedded database in {} (DATA_DIR): run the command in the directory of the server or with its \
         DATA_DIR or DATABASE_URL; `mintage serve` or `mintage migrate` creates it",
        place.display()
    );
    Ok(())
}

fn embedded(config: &Config, [server, owner]: [String; 2]) -> config::Database {
    let (url, migration_url) = (Some(Secret::new(server)), Some(Secret::new(owner)));
    config::Database { url, migration_url, ..config.database.clone() }
}

/// Does the work of a command with a connection, as the role of the server.
///
/// # Errors
/// Those of the work; the database has no tables of Mintage.
pub(super) fn with_connection<T>(
    config: &Config,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    with_database(config, IfMissing::Fail, |database| {
        connected(database, database.url(), |conn| {
            migrate::check_not_empty(conn)?;
            work(conn)
        })
    })
}

/// As [`with_connection`], after migrations as at the start of a server.
pub(super) fn with_prepared<T>(
    config: &Config,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    with_database(config, IfMissing::Fail, |database| {
        connected(database, database.url(), |conn| {
            migrate::prepare(conn, &database.settings)?;
            work(conn)
        })
    })
}

/// Does the work of a command with a connection as the owner of the database.
pub(super) fn as_owner<T>(
    config: &Config,
    if_missing: IfMissing,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    with_database(config, if_missing, |database| {
        connected(database, database.settings.migration_url.as_ref().unwrap_or(database.url()), work)
    })
}

fn with_database<T>(
    config: &Config,
    if_missing: IfMissing,
    work: impl FnOnce(&Database) -> Result<T>,
) -> Result<T> {
    let database = Database::start_or_share(config, if_missing)?;
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
