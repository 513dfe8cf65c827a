//! Creates the cluster and starts its postgres.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::binaries::{self, Installation};
use super::place::{self, Account, Log};
use super::process::{self, PidFile, Postmaster};
use super::{EmbeddedError, Outcome, POLL, SOCKET, at};

const START_PATIENCE: Duration = Duration::from_secs(30);
const RECOVERY_PATIENCE: Duration = Duration::from_mins(2);
const HANDOVER_PATIENCE: Duration = Duration::from_secs(15);

/// Given on every command line, so that a changed default reaches clusters that exist already.
const SETTINGS: [&str; 13] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "shared_buffers=64MB",
    "fsync=on",
    "timezone=UTC",
    "log_timezone=UTC",
    "lc_messages=C",
    "log_destination=stderr",
    "logging_collector=off",
    // Statements and details hold addresses, and the log has no bound while we run.
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
];

/// One statement per line, as single-user mode reads them.
const CREATION: &str = "\
ALTER SYSTEM SET listen_addresses = '';
ALTER SYSTEM SET unix_socket_permissions = '0700';
CREATE DATABASE mintage;
";

/// Everything that is needed to run the programs of `PostgreSQL` for one cluster.
pub(super) struct Launcher {
    pub(super) installation: Installation,
    pub(super) account: Option<Account>,
    pub(super) home: PathBuf,
    pub(super) sockets: PathBuf,
    pub(super) log: Log,
}

impl Launcher {
    fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    /// Creates the cluster, or picks the binaries that match the one that exists.
    pub(super) fn settle_cluster(&mut self, installed: &[Installation]) -> Result<bool, EmbeddedError> {
        self.remove_unfinished()?;
        let cluster = self.cluster();
        if !cluster.exists() {
            return self.create().map(|()| true).inspect_err(|_| {
                let _ = self.remove_unfinished();
            });
        }
        let wanted = binaries::cluster_major(&cluster)?;
        self.installation = installed
            .iter()
            .find(|installation| installation.major == wanted)
            .cloned()
            .ok_or(EmbeddedError::VersionMissing { wanted, directory: cluster })?;
        Ok(false)
    }

    /// Clears what a start killed in the middle of initdb left behind.
    ///
    /// That initdb may still be running. It fails once its files are gone, and because every
    /// attempt has a name of its own it cannot get mixed up with the next one, so a directory
    /// that resists is only a nuisance.
    fn remove_unfinished(&self) -> Result<(), EmbeddedError> {
        for entry in fs::read_dir(&self.home).map_err(at(&self.home))?.flatten() {
            let name = entry.file_name();
            if name.as_bytes().starts_with(b"unfinished-")
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "cannot remove an unfinished cluster");
            }
        }
        Ok(())
    }

    /// Builds the cluster under another name: `cluster` exists only once it is complete.
    fn create(&self) -> Result<(), EmbeddedError> {
        let unfinished = self.home.join(place::attempt_name());
        self.initdb(&unfinished)?;
        self.populate(&unfinished)?;
        fs::rename(&unfinished, self.cluster()).map_err(at(&unfinished))?;
        File::open(&self.home).and_then(|home| home.sync_all()).map_err(at(&self.home))
    }

    /// Sorting by bytes never changes with an upgrade of the C library, which would break
    /// indexes; the character type knows letters beyond ASCII where the system has C.UTF-8.
    fn initdb(&self, pgdata: &Path) -> Result<(), EmbeddedError> {
        let mut from = 0;
        for ctype in ["C.UTF-8", "C"] {
            from = self.log.len();
            let mut initdb = self.command("initdb")?;
            initdb.arg("-D").arg(pgdata).args([
                "--username=mintage",
                "--encoding=UTF8",
                "--locale=C",
                "--auth-local=trust",
                "--auth-host=reject",
                "--data-checksums",
            ]);
            initdb.arg(format!("--lc-ctype={ctype}"));
            if initdb.status().map_err(spawning(&initdb))?.success() {
                return Ok(());
            }
        }
        Err(self.failed("initdb", from))
    }

    fn populate(&self, pgdata: &Path) -> Result<(), EmbeddedError> {
        let from = self.log.len();
        let mut single = self.command("postgres")?;
        // Without exit_on_error a failed statement would still end in success.
        single.arg("--single").arg("-D").arg(pgdata);
        single.args(["-c", "exit_on_error=on", "postgres"]);
        let mut child = single.stdin(Stdio::piped()).spawn().map_err(spawning(&single))?;
        let written = child.stdin.take().map(|mut input| input.write_all(CREATION.as_bytes()));
        let status = child.wait().map_err(spawning(&single))?;
        match written {
            Some(Ok(())) if status.success() => Ok(()),
            _ => Err(self.failed("postgres --single", from)),
        }
    }

    /// Adopts the postgres that runs on the cluster or starts one.
    pub(super) fn run(&self) -> Result<(Postmaster, Outcome), EmbeddedError> {
        let deadline = Instant::now() + HANDOVER_PATIENCE;
        loop {
            if let Some(mut running) = self.running()? {
                if self.becomes_ready(&mut running)? {
                    return Ok((running, Outcome::Adopted));
                }
                // It was shutting down; the place is free now.
                continue;
            }
            match self.discard_stale() {
                // One that is just starting writes it next.
                Err(EmbeddedError::PidFileBroken { .. }) if Instant::now() < deadline => {
                    sleep(10 * POLL);
                    continue;
                }
                discarded => discarded?,
            }
            let from = self.log.len();
            let mut postmaster = self.spawn()?;
            if self.becomes_ready(&mut postmaster)? {
                return Ok((postmaster, self.started_or_recovered(from)));
            }
            if !waits_for_predecessor(&self.log.since(from)) || Instant::now() > deadline {
                return Err(self.failed("postgres", from));
            }
            sleep(10 * POLL);
        }
    }

    fn discard_stale(&self) -> Result<(), EmbeddedError> {
        let cluster = self.cluster();
        process::discard_stale(&cluster.join("postmaster.pid"), &cluster)?;
        process::discard_stale(&self.sockets.join(format!("{SOCKET}.lock")), &cluster)
    }

    fn running(&self) -> Result<Option<Postmaster>, EmbeddedError> {
        let cluster = self.cluster();
        let Some(file) = PidFile::read(&cluster).filter(|f| process::serves(f.pid, &cluster)) else {
            return Ok(None);
        };
        if file.sockets != self.sockets {
            return Err(EmbeddedError::Foreign { pid: file.pid, directory: cluster });
        }
        Ok(Some(Postmaster::adopted(file.pid, cluster)))
    }

    fn spawn(&self) -> Result<Postmaster, EmbeddedError> {
        let mut postgres = self.command("postgres")?;
        postgres.arg("-D").arg(self.cluster());
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        postgres.arg("-c").arg(socket_setting(&self.sockets));
        // Ctrl-C goes to the whole foreground group; postgres must outlive our own shutdown.
        postgres.process_group(0);
        let child = postgres.spawn().map_err(spawning(&postgres))?;
        Ok(Postmaster::child(child, self.cluster()))
    }

    /// Waits for "ready" in the pid file; false when postgres exits instead.
    ///
    /// A stale file may say "ready" for a pid that our child happens to get again (pids repeat
    /// when a container restarts), so the socket has to answer as well.
    fn becomes_ready(&self, postmaster: &mut Postmaster) -> Result<bool, EmbeddedError> {
        let begun = Instant::now();
        loop {
            let status = PidFile::read(&self.cluster())
                .filter(|file| file.pid == postmaster.pid)
                .map_or_else(String::new, |file| file.status);
            if status == "ready" && UnixStream::connect(self.sockets.join(SOCKET)).is_ok() {
                return Ok(true);
            }
            if postmaster.has_exited() {
                return Ok(false);
            }
            let patience = match status.as_str() {
                "starting" => RECOVERY_PATIENCE,
                _ => START_PATIENCE,
            };
            if begun.elapsed() > patience {
                return Err(EmbeddedError::NotReady {
                    pid: postmaster.pid,
                    seconds: patience.as_secs(),
                    log: self.log.path.clone(),
                });
            }
            sleep(POLL);
        }
    }

    fn started_or_recovered(&self, from: u64) -> Outcome {
        if self.log.since(from).contains("not properly shut down") {
            Outcome::Recovered
        } else {
            Outcome::Started
        }
    }

    /// A program of this installation, run as the service user, in a directory it may enter, with
    /// none of our environment: neither secrets nor variables such as PGPORT.
    fn command(&self, program: &str) -> Result<Command, EmbeddedError> {
        let mut command = self.installation.command(program);
        command
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(self.log.stdio()?)
            .stderr(self.log.stdio()?);
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        Ok(command)
    }

    fn failed(&self, program: &'static str, from: u64) -> EmbeddedError {
        let shortage =
            place::shortage(&self.home).map(|shortage| format!("{shortage} | ")).unwrap_or_default();
        let cause = cause(&self.log.since(from));
        EmbeddedError::Failed { program, log: self.log.path.clone(), cause: shortage + &cause }
    }
}

fn spawning(command: &Command) -> impl FnOnce(io::Error) -> EmbeddedError + use<> {
    let program = PathBuf::from(command.get_program());
    move |cause| EmbeddedError::Spawn { program, cause }
}

/// Whether postgres gave up only because remains of a killed or stopping one are still there.
fn waits_for_predecessor(log: &str) -> bool {
    log.contains("is still in use") || log.contains("lock file \"")
}

/// The first complaint with the line that explains it, else the end.
fn cause(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let complains =
        |line: &&str| ["FATAL:", "PANIC:", "ERROR:", "error:"].iter().any(|word| line.contains(word));
    let shown = match lines.iter().position(complains) {
        Some(first) => &lines[first..lines.len().min(first + 2)],
        None => &lines[lines.len().saturating_sub(3)..],
    };
    shown.join(" | ")
}

/// The setting is a list: quotes keep commas and spaces in a path from splitting it.
fn socket_setting(directory: &Path) -> OsString {
    let mut bytes = b"unix_socket_directories=\"".to_vec();
    for &byte in directory.as_os_str().as_bytes() {
        bytes.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_directory_is_quoted() {
        assert_eq!(socket_setting(Path::new("/a, \"b\"")), "unix_socket_directories=\"/a, \"\"b\"\"\"");
    }

    #[test]
    fn the_cause_is_one_line() {
        assert_eq!(cause("1\n2\n\n3\n4\n"), "2 | 3 | 4");
        assert_eq!(cause("ok\nFATAL:  full\nHINT:  x\nLOG:  down\n"), "FATAL:  full | HINT:  x");
        assert_eq!(cause(""), "");
    }

    #[test]
    fn remains_of_a_predecessor_are_worth_waiting_for() {
        assert!(waits_for_predecessor(
            "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use"
        ));
        assert!(waits_for_predecessor("FATAL:  lock file \"postmaster.pid\" already exists"));
        assert!(!waits_for_predecessor("FATAL:  could not create shared memory segment"));
    }
}
