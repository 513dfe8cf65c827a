//! A private `PostgreSQL` cluster, run as a child process when no `DATABASE_URL` is set.
//!
//! ```text
//! <data_dir>/mintage.lock     held while a Cluster lives; one server per data directory
//! <data_dir>/postgres.log     what initdb and postgres print
//! <data_dir>/postgres/        the home: 0700, owned by the user that runs postgres
//!     cluster/                PGDATA, renamed into place once it is complete
//!     .s.PGSQL.5432           the socket (in /tmp/mintage-<hash> when this path is too long)
//! ```
//!
//! # Who can connect
//!
//! No TCP port is opened. The socket is guarded by the file system: its directory is 0700 and
//! belongs to the user that runs postgres, the socket itself is 0700, and a directory found with
//! another owner, another mode or as a symbolic link is refused. Only that user and root can get
//! there, and both could read the data files anyway, so `trust` on the socket adds no
//! access. `peer` would need a name for every uid, which containers often lack. TCP
//! lines are written as `reject`, and both settings are also stored inside the cluster, so that
//! starting it by hand does not open it either.
//!
//! The server itself connects as a role that is no superuser and owns nothing, so that an injected statement can neither
//! read files nor run programs nor change the schema. Migrations run as the owner of the database.
//!
//! Started by root, postgres runs as the user `postgres`, else `nobody`. Root never opens
//! a file for writing in a directory which that user controls: a link there could lead anywhere.
//!
//! # What survives what
//!
//! A killed server leaves postgres running, and the next one adopts it. Killed together, postgres
//! recovers from its write-ahead log. Killed during creation, the remains are cleared away.
//! [`Cluster::start`] and [`Cluster::stop`] block the thread.

mod binaries;
mod launcher;
mod place;
mod process;
mod roles;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use parking_lot::{Mutex, MutexGuard};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use launcher::Launcher;
use place::Log;
use process::Postmaster;

const NAME: &str = "mintage";
/// Of the socket, in its name; no TCP port is opened.
const PORT: &str = "5432";
const SOCKET: &str = ".s.PGSQL.5432";
const NO_ADDRESS: &str = "&hostaddr=";
/// All but the unreserved characters of RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const POLL: Duration = Duration::from_millis(20);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Why the private cluster is not available. Messages are one line, for an operator.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No directory holds both initdb and postgres.
    #[error(
        "PostgreSQL is not installed: install it (apt-get install postgresql / brew install postgresql) or set DATABASE_URL"
    )]
    NotInstalled,
    /// The cluster was made by a major version that is not installed.
    #[error(
        "{} was made by PostgreSQL {wanted}, which is not installed: install PostgreSQL {wanted} or set DATABASE_URL",
        directory.display()
    )]
    VersionMissing { wanted: u32, directory: PathBuf },
    /// Another server holds the lock of this data directory.
    #[error("another mintage ({}) already uses {}", holder(*pid), directory.display())]
    AlreadyRunning { pid: Option<u32>, directory: PathBuf },
    /// A postgres that no Mintage server has started runs on this cluster.
    #[error(
        "a PostgreSQL started by something else (pid {pid}) already uses {}: stop it first",
        directory.display()
    )]
    Foreign { pid: i32, directory: PathBuf },
    /// A postgres runs on the cluster, but its pid file or the lock file of its socket has no content.
    #[error(
        "PostgreSQL (pid {pid}) is running, but {} does not name it: stop it (kill -INT {pid}), then start again",
        file.display()
    )]
    PidFileBroken { pid: i32, file: PathBuf },
    /// Root found no user to run postgres as.
    #[error(
        "PostgreSQL refuses to run as root and there is neither a user postgres nor a user nobody: run as another user or set DATABASE_URL"
    )]
    NoAccount,
    /// A file or directory may be accessible to other users.
    #[error("{} {problem}", path.display())]
    Unsafe { path: PathBuf, problem: String },
    /// The user that runs postgres cannot access the directory of the cluster.
    #[error("the user {user} cannot reach {}: make the directories above it traversable", directory.display())]
    Unreachable { user: String, directory: PathBuf },
    /// The operating system refused to run a program.
    #[error("cannot run {}: {cause}", program.display())]
    Spawn { program: PathBuf, cause: io::Error },
    /// initdb or postgres failed.
    #[error("{program} failed: {cause} (see {})", log.display())]
    Failed { program: &'static str, log: PathBuf, cause: String },
    /// postgres runs but is not ready in time; it is left running, so that a later start can adopt it.
    #[error(
        "PostgreSQL (pid {pid}) is not ready after {seconds} s and was left running; see {} and start again later",
        log.display()
    )]
    NotReady { pid: i32, seconds: u64, log: PathBuf },
    /// The role of the server could not be created.
    #[error("the embedded PostgreSQL cannot be prepared: {cause}")]
    Roles { cause: String },
    /// A file operation failed.
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "pid unknown".into(), |pid| format!("pid {pid}"))
}

/// Adds the path to an I/O error, so that an operator can find the cause.
fn at(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    move |cause| EmbeddedError::Io { path: path.to_owned(), cause }
}

/// How [`Cluster::start`] got a running postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no cluster; it was created.
    Created,
    /// The cluster had been shut down properly.
    Started,
    /// The cluster had crashed and was recovered from its write-ahead log.
    Recovered,
    /// A postgres left over from a killed server was still running.
    Adopted,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Recovered => "recovered after a crash",
            Self::Adopted => "adopted, it was still running",
        })
    }
}

/// A running private cluster. Dropping it does not stop postgres; [`Cluster::stop`] does.
#[derive(Debug)]
pub struct Cluster {
    home: PathBuf,
    sockets: PathBuf,
    outcome: Outcome,
    postmaster: Mutex<Option<Postmaster>>,
    _locks: [File; 2],
}

impl Cluster {
    /// Starts the cluster below `data_dir`, created on first use, or adopts the one running there.
    ///
    /// Blocks until the cluster accepts connections.
    pub fn start(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let installed = binaries::installed(&binaries::candidates());
        let newest = binaries::newest(&installed).ok_or(EmbeddedError::NotInstalled)?;
        let account = place::service_account()?;
        let data_dir = place::data_dir(data_dir, account.is_some())?;
        let lock = place::lock(&data_dir)?;
        let home = place::home(&data_dir, account.as_ref(), newest)?;
        let sockets = place::sockets(&data_dir, &home, account.as_ref())?;
        let mut launcher = Launcher {
            installation: newest.clone(),
            account,
            log: Log::open(data_dir.join("postgres.log"))?,
            home,
            sockets,
        };
        let guard = place::keep_from_cleaners(&launcher.home)?;
        let created = launcher.settle_cluster(&installed)?;
        let (postmaster, how) = launcher.run()?;
        let cluster = Self {
            home: launcher.home,
            sockets: launcher.sockets,
            outcome: if created { Outcome::Created } else { how },
            postmaster: Mutex::new(Some(postmaster)),
            _locks: [lock, guard],
        };
        roles::settle(&cluster.admin_url()).inspect_err(|_| cluster.stop())?;
        Ok(cluster)
    }

    /// A libpq URL for the database `mintage` over the Unix socket, as the role of the server. See also [`for_others`].
    pub fn url(&self) -> String {
        url(&self.sockets, roles::SERVER)
    }

    /// As [`Cluster::url`], as the owner of the database, who migrates it and is no superuser.
    pub fn owner_url(&self) -> String {
        url(&self.sockets, roles::OWNER)
    }

    /// As [`Cluster::url`], as the superuser. For administration and tests; the server has no use for it.
    pub fn admin_url(&self) -> String {
        url(&self.sockets, roles::SUPERUSER)
    }

    /// [`Cluster::url`] and [`Cluster::owner_url`] of the cluster that another Mintage process runs.
    pub fn urls_of_running(data_dir: &Path) -> Result<[String; 2], EmbeddedError> {
        let installed = binaries::installed(&binaries::candidates());
        let newest = binaries::newest(&installed).ok_or(EmbeddedError::NotInstalled)?;
        let account = place::service_account()?;
        let data_dir = place::data_dir(data_dir, account.is_some())?;
        let home = place::home(&data_dir, account.as_ref(), newest)?;
        let sockets = place::sockets(&data_dir, &home, account.as_ref())?;
        Ok([roles::SERVER, roles::OWNER].map(|role| url(&sockets, role)))
    }

    /// Whether a cluster was created below `data_dir`. Creates nothing.
    ///
    /// # Errors
    /// This user may not look.
    pub fn exists(data_dir: &Path) -> io::Result<bool> {
        if !data_dir.try_exists()? {
            return Ok(false);
        }
        for home in place::possible_homes(&data_dir.canonicalize()?) {
            if home.join("cluster").try_exists()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The directory of the data, which is not below the data directory if postgres cannot access that.
    pub fn directory(&self) -> &Path {
        &self.home
    }

    /// How postgres was started.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether postgres still runs.
    pub fn is_running(&self) -> bool {
        self.postmaster().as_mut().is_some_and(|p| !p.has_exited())
    }

    /// Stops postgres: by a fast shutdown, and by an immediate one if it has not ended within 10 seconds.
    ///
    /// Open connections end and open transactions are rolled back. Calling it again does nothing.
    pub fn stop(&self) {
        let Some(mut postmaster) = self.postmaster().take() else {
            return;
        };
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            postmaster.signal(signal);
            if postmaster.exits_within(STOP_PATIENCE) {
                return;
            }
        }
        tracing::error!(pid = postmaster.pid, "the embedded PostgreSQL does not stop");
    }

    /// Describes a lack of disk space, if there is one: the likely reason if postgres has ended.
    pub fn shortage(&self) -> Option<String> {
        place::shortage(&self.home)
    }

    fn postmaster(&self) -> MutexGuard<'_, Option<Postmaster>> {
        self.postmaster.lock()
    }
}

fn url(sockets: &Path, role: &str) -> String {
    let host = percent_encode(sockets.as_os_str().as_bytes(), ENCODED);
    // Also what libpq would otherwise take from the environment (PGPORT, PGHOSTADDR, PGSERVICE), for another database.
    format!("postgresql:///{NAME}?host={host}&port={PORT}&user={role}{NO_ADDRESS}")
}

/// The URL for other programs: not every library takes an empty `hostaddr`.
pub fn for_others(url: &str) -> String {
    url.replace(NO_ADDRESS, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_percent_encoded_for_the_url() {
        let url = url(Path::new("/a b/é-1"), "app");
        assert_eq!(url, "postgresql:///mintage?host=%2Fa%20b%2F%C3%A9-1&port=5432&user=app&hostaddr=");
        assert_eq!(for_others(&url), "postgresql:///mintage?host=%2Fa%20b%2F%C3%A9-1&port=5432&user=app");
    }

    #[test]
    fn messages_are_one_line() {
        let busy = EmbeddedError::AlreadyRunning { pid: Some(7), directory: "/d".into() };
        assert_eq!(busy.to_string(), "another mintage (pid 7) already uses /d");
        let full = anyhow::Error::from(at(Path::new("/d"))(io::Error::other("no space left")));
        assert_eq!(format!("{full:#}"), "/d: no space left", "the cause is given once");
        assert!(EmbeddedError::NotInstalled.to_string().contains("apt-get install postgresql"));
    }
}
