//! The running postgres: its pid file and signals, and whether a pid belongs to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{EmbeddedError, POLL, at};

/// The lines of postmaster.pid that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: i32,
    pub(super) sockets: PathBuf,
    pub(super) status: String,
}

impl PidFile {
    pub(super) fn read(cluster: &Path) -> Option<Self> {
        let text = fs::read(cluster.join("postmaster.pid")).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;

        let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        let line = |number: usize| lines.get(number - 1).copied().unwrap_or_default();
        Some(Self {
            pid: parse_pid(line(1))?,
            sockets: OsStr::from_bytes(line(5)).into(),
            status: String::from_utf8_lossy(line(8)).trim().to_owned(),
        })
    }
}

/// Single-user mode writes its pid negated. Never 0 or 1: signals to those go elsewhere.
fn parse_pid(line: &[u8]) -> Option<i32> {
    let pid: i32 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    pid.checked_abs().filter(|&pid| pid > 1)
}

/// Whether a line is a number, also one that [`parse_pid`] refuses.
fn is_number(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.trim().parse::<i64>().is_ok())
}

/// A postgres that we started, or one that an earlier server left running.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    cluster: PathBuf,
    child: Option<Child>,
}

impl Postmaster {
    pub(super) fn child(child: Child, cluster: PathBuf) -> Self {
        Self { pid: child.id().cast_signed(), cluster, child: Some(child) }
    }

    pub(super) fn adopted(pid: i32, cluster: PathBuf) -> Self {
        Self { pid, cluster, child: None }
    }

    /// Also reaps the child.
    pub(super) fn has_exited(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => !serves(self.pid, &self.cluster),
        }
    }

    /// Sends a signal unless it has exited: then its pid may belong to another process.
    pub(super) fn signal(&mut self, signal: Signal) {
        if !self.has_exited() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    pub(super) fn exits_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.has_exited() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(POLL);
        }
        true
    }
}

/// Whether `pid` is a postgres of `cluster`, which it has as its working directory.
#[cfg(target_os = "linux")]
pub(super) fn serves(pid: i32, cluster: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let identity = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let process = PathBuf::from(format!("/proc/{pid}"));
    let here = identity(cluster);
    is_postgres(&process) && here.is_some() && identity(&process.join("cwd")) == here
}

#[cfg(target_os = "linux")]
fn is_postgres(process: &Path) -> bool {
    fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("postgres"))
}

/// Whether `pid` is a postgres of `cluster`, which it has on its command line.
#[cfg(not(target_os = "linux"))]
pub(super) fn serves(pid: i32, cluster: &Path) -> bool {
    let listed =
        std::process::Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    listed.is_ok_and(|output| {
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        line.contains("postgres") && line.contains(&*cluster.to_string_lossy())
    })
}

/// The pid of some postgres of `cluster`, when its pid file cannot say.
///
/// One that runs as the owner of `cluster`, as it must, and that may not be looked into, counts as well: a
/// container often takes that right from root.
#[cfg(target_os = "linux")]
fn running_on(cluster: &Path) -> io::Result<Option<i32>> {
    use std::os::unix::fs::MetadataExt as _;

    let owner = fs::metadata(cluster)?.uid();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let is_hidden = || {
            let denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
            is_postgres(&entry.path())
                && entry.metadata().is_ok_and(|meta| meta.uid() == owner)
                && fs::read_link(entry.path().join("cwd")).is_err_and(denied)
        };
        if serves(pid, cluster) || is_hidden() {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// As on Linux, from the command lines.
#[cfg(not(target_os = "linux"))]
fn running_on(cluster: &Path) -> io::Result<Option<i32>> {
    let listed = std::process::Command::new("ps").args(["-axww", "-o", "pid="]).output()?;
    let pids = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut pids = pids.lines().filter_map(|line| line.trim().parse().ok());
    Ok(pids.find(|&pid| serves(pid, cluster)))
}

/// Removes a pid file that a crash has left and that keeps postgres from starting: its pid now belongs to an unrelated
/// process, or it contains none, as after a crash on a full disk.
///
/// A pid that no process has is left for postgres to judge. It also checks that no orphan of the crash
/// still uses the shared memory of the cluster; since version 12 it finds that memory without the file.
///
/// # Errors
/// The file holds no pid while a postgres runs on the cluster.
pub(super) fn discard_stale(file: &Path, cluster: &Path) -> Result<(), EmbeddedError> {
    let Ok(text) = fs::read(file) else {
        return Ok(());
    };
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    // No process has the number 0.
    if is_number(first) && first.trim_ascii() != b"0" {
        let reused = parse_pid(first).is_some_and(|pid| exists(pid) && !serves(pid, cluster));
        if !reused {
            return Ok(());
        }
    } else if let Some(pid) = running_on(cluster).map_err(at(Path::new("/proc")))? {
        return Err(EmbeddedError::PidFileBroken { pid, file: file.to_owned() });
    }
    tracing::info!("removing {}, left by a crash", file.display());
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(file)(error)),
        _ => Ok(()),
    }
}

/// Signal 0 is not delivered; a refusal for lack of rights still means that the process is there.
fn exists(pid: i32) -> bool {
    matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_parsed() {
        let text = b"4711\n/d/cluster\n1700000000\n5432\n/d\n\n  123 4\nready   \n";
        let expected = PidFile { pid: 4711, sockets: "/d".into(), status: "ready".into() };
        assert_eq!(PidFile::parse(text), Some(expected));
    }

    #[test]
    fn half_a_pid_file_has_no_status() {
        let half = PidFile::parse(b"4711\n/d/cluster\n").unwrap();
        assert_eq!((half.pid, half.status.as_str()), (4711, ""));
        assert_eq!(PidFile::parse(b""), None);
    }

    #[test]
    fn pids_that_kill_would_misread_are_refused() {
        assert_eq!(parse_pid(b"-12"), Some(12));
        for odd in ["0", "1", "-1", "x", "-2147483648"] {
            assert_eq!(parse_pid(odd.as_bytes()), None);
        }
    }

    #[test]
    fn an_unrelated_process_does_not_serve() {
        let own = std::process::id().cast_signed();
        assert!(exists(own));
        assert!(!serves(own, &std::env::current_dir().unwrap()));
    }

    #[test]
    fn only_files_with_a_reused_pid_or_none_are_discarded() {
        let file = std::env::temp_dir().join(format!("mintage-pid-{}", std::process::id()));
        let cluster = std::env::temp_dir();
        for kept in [i32::MAX.to_string().as_str(), "1", "-1", "99999999999"] {
            fs::write(&file, format!("{kept}\n/d\n")).unwrap();
            discard_stale(&file, &cluster).unwrap();
            assert!(file.exists(), "{kept}");
        }
        for stale in
            [std::process::id().to_string().as_bytes(), b"", b"\n", b"\0\0\0", b"\xff12", b"1 2", b"0\n/d\n"]
        {
            fs::write(&file, stale).unwrap();
            discard_stale(&file, &cluster).unwrap();
            assert!(!file.exists(), "{stale:?}");
        }
        discard_stale(&file, &cluster).unwrap();
    }
}
