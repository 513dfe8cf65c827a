//! Directories, their owners, and checks that no other user can access them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use nix::unistd::{User, geteuid};

use super::binaries::Installation;
use super::{EmbeddedError, NAME, SOCKET, at};

/// Contains the home if the service user cannot access the data directory.
const FALLBACK_ROOT: &str = "/var/lib";
/// Contains the socket if the path of the home is too long.
const SHORT_ROOT: &str = "/tmp";
/// The lowest limit of any Unix (macOS: 104 bytes with the final zero).
const MAX_SOCKET_PATH: usize = 103;
const MAX_LOG: u64 = 10 * 1024 * 1024;
/// Needed by initdb (45 MB with version 15), and by postgres for a recovery (WAL files of 16 MB each).
const MIN_FREE_MB: u128 = 64;

/// The user that runs postgres if this process is root.
#[derive(Debug)]
pub(super) struct Account {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Makes `command` run as this user; std drops the supplementary groups of root with it.
    pub(super) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Asks the kernel, which unlike the mode bits knows about access lists and mount options.
    fn can_enter(&self, directory: &Path, installation: &Installation) -> bool {
        let mut probe = installation.command("postgres");
        probe.arg("--version").current_dir(directory);
        probe.stdin(Stdio::null()).stdout(Stdio::null());
        self.apply(&mut probe);
        probe.status().is_ok_and(|status| status.success())
    }
}

/// Returns `None` if postgres can run as the user of this process.
pub(super) fn service_account() -> Result<Option<Account>, EmbeddedError> {
    if effective_uid() != 0 {
        return Ok(None);
    }
    ["postgres", "nobody"].into_iter().find_map(look_up).map(Some).ok_or(EmbeddedError::NoAccount)
}

fn look_up(name: &'static str) -> Option<Account> {
    let user = User::from_name(name).ok()??;
    (!user.uid.is_root()).then_some(Account { name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

fn effective_uid() -> u32 {
    geteuid().as_raw()
}

/// The data directory, created if need be; root's must let the service user through.
pub(super) fn data_dir(path: &Path, shared: bool) -> Result<PathBuf, EmbeddedError> {
    let mode = if shared { 0o711 } else { 0o700 };
    create_with_parents(path, mode).map_err(at(path))?;
    path.canonicalize().map_err(at(path))
}

/// Sets the mode of every level, because the umask may take from the mode given to mkdir.
fn create_with_parents(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_with_parents(parent, mode)?;
    }
    DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Claims the data directory for this process, for as long as the file stays open.
pub(super) fn lock(data_dir: &Path) -> Result<File, EmbeddedError> {
    let path = data_dir.join("mintage.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(EmbeddedError::AlreadyRunning {
                pid: text.trim().parse().ok(),
                directory: data_dir.to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(at(&path))?;
    Ok(file)
}

/// The private directory of the cluster.
///
/// A cluster stays where it was made: access rights that change later must neither hide it nor
/// silently begin an empty one elsewhere.
pub(super) fn home(
    data_dir: &Path,
    account: Option<&Account>,
    installation: &Installation,
) -> Result<PathBuf, EmbeddedError> {
    let [regular, fallback] = possible_homes(data_dir);
    let Some(account) = account else {
        return private_directory(regular, None);
    };
    let reachable = account.can_enter(data_dir, installation);
    if regular.join("cluster").exists() {
        let home = private_directory(regular, Some(account))?;
        return if reachable {
            Ok(home)
        } else {
            Err(EmbeddedError::Unreachable { user: account.name.into(), directory: home })
        };
    }
    if reachable && !holds_cluster(&fallback, account) {
        return private_directory(regular, Some(account));
    }
    let home = private_directory(fallback, Some(account))?;
    tracing::warn!(
        "the database of {} is in {}, because the user {} could not reach the former when it was created; cleaners of temporary files may find it there, so better choose a data directory that all users can traverse to",
        data_dir.display(),
        home.display(),
        account.name
    );
    Ok(home)
}

/// The usual home, and the one for a service user who cannot access that.
pub(super) fn possible_homes(data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join("postgres"), Path::new(FALLBACK_ROOT).join(stable_name(data_dir))]
}

/// Only a directory of the service user counts; any local user could create another.
fn holds_cluster(home: &Path, account: &Account) -> bool {
    fs::symlink_metadata(home).is_ok_and(|meta| meta.is_dir() && meta.uid() == account.uid)
        && home.join("cluster").exists()
}

/// The directory of the socket: the home if its path is short enough.
///
/// libpq treats a host with a comma as a list, so such a path is moved as well.
pub(super) fn sockets(
    data_dir: &Path,
    home: &Path,
    account: Option<&Account>,
) -> Result<PathBuf, EmbeddedError> {
    let path = home.join(SOCKET);
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= MAX_SOCKET_PATH && !bytes.contains(&b',') {
        return Ok(home.to_owned());
    }
    private_directory(Path::new(SHORT_ROOT).join(stable_name(data_dir)), account)
}

/// Creates a directory for the service user alone, or makes sure that it is one.
///
/// The parent may be writable by all users, so the opened directory itself is checked and handed over, not one that
/// may have replaced it.
fn private_directory(path: PathBuf, account: Option<&Account>) -> Result<PathBuf, EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(&path)(error)),
        _ => {}
    }
    let unsafe_because = |problem: String| EmbeddedError::Unsafe { path: path.clone(), problem };
    if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
        return Err(unsafe_because("is not a directory: remove it or choose another data directory".into()));
    }
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(&path)
        .map_err(at(&path))?;
    let meta = directory.metadata().map_err(at(&path))?;
    let owner = account.map_or_else(effective_uid, |account| account.uid);
    // Not handed over yet: an earlier process was killed just before that.
    if meta.uid() != owner && meta.uid() != effective_uid() {
        return Err(unsafe_because(format!(
            "belongs to uid {}: run as that user or choose another data directory",
            meta.uid()
        )));
    }
    if meta.mode() & 0o777 != 0o700 {
        let mode = meta.mode() & 0o777;
        return Err(unsafe_because(format!(
            "has mode {mode:o}, so others may have changed it: chmod 700 it if you trust its content"
        )));
    }
    if let Some(account) = account {
        fchown(&directory, Some(account.uid), Some(account.gid)).map_err(at(&path))?;
    }
    Ok(path)
}

/// Locks the directory, so that systemd-tmpfiles deletes nothing below it. Below /var/tmp it would otherwise delete files
/// of the database that were not used for a month.
pub(super) fn keep_from_cleaners(home: &Path) -> Result<File, EmbeddedError> {
    let directory = File::open(home).map_err(at(home))?;
    if let Err(error) = directory.try_lock_shared() {
        tracing::debug!(%error, "cannot lock {}", home.display());
    }
    Ok(directory)
}

/// Describes a lack of disk space, if there is one. postgres rarely reports it, since its log is on the same disk.
pub(super) fn shortage(directory: &Path) -> Option<String> {
    let disk = statvfs(directory).ok()?;
    // Without the blocks reserved for root, since postgres never runs as root.
    let free = u128::from(disk.blocks_available()) * u128::from(disk.fragment_size());
    lack_of(free).map(|lack| format!("{lack} on the disk of {}, make room", directory.display()))
}

fn lack_of(free: u128) -> Option<String> {
    let free = free / (1024 * 1024);
    (free < MIN_FREE_MB).then(|| format!("only {free} MB are free"))
}

/// A short name that is the same at every start; std's hashers do not promise that (FNV-1a).
fn stable_name(data_dir: &Path) -> String {
    let hash = data_dir.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{NAME}-{hash:016x}")
}

/// Never the same twice, so that a forgotten initdb cannot write into a later attempt.
pub(super) fn attempt_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |elapsed| elapsed.as_nanos());
    format!("unfinished-{}-{nanos}", std::process::id())
}

/// The log of initdb and postgres. They inherit the open file, which belongs to the user of this process.
pub(super) struct Log {
    pub(super) path: PathBuf,
    file: File,
}

impl Log {
    pub(super) fn open(path: PathBuf) -> Result<Self, EmbeddedError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(at(&path))?;
        let log = Self { path, file };
        if log.len() > MAX_LOG {
            log.file.set_len(0).map_err(at(&log.path))?;
        }
        Ok(log)
    }

    pub(super) fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Returns the text after the first `from` bytes of the log.
    pub(super) fn since(&self, from: u64) -> String {
        let mut bytes = Vec::new();
        let mut reader = &self.file;
        let _ = reader.seek(SeekFrom::Start(from)).and_then(|_| reader.take(MAX_LOG).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn stdio(&self) -> Result<Stdio, EmbeddedError> {
        self.file.try_clone().map(Stdio::from).map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(test: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mintage-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_lack_of_disk_space_is_reported() {
        assert_eq!(lack_of(0).as_deref(), Some("only 0 MB are free"));
        assert_eq!(lack_of(64 * 1024 * 1024 - 1).as_deref(), Some("only 63 MB are free"));
        assert_eq!(lack_of(64 * 1024 * 1024), None);
        assert_eq!(shortage(Path::new("/nonexistent")), None);
        if let Some(shortage) = shortage(Path::new("/proc/self")) {
            assert!(shortage.ends_with("on the disk of /proc/self, make room"), "{shortage}");
        }
    }

    #[test]
    fn names_are_stable_and_differ() {
        assert_eq!(stable_name(Path::new("/root/data")), "mintage-09752435bb7e5347");
        assert_ne!(stable_name(Path::new("/a")), stable_name(Path::new("/b")));
        assert_ne!(attempt_name(), attempt_name());
    }

    #[test]
    fn every_level_of_the_data_directory_gets_the_mode() {
        let parent = scratch("levels");
        let made = data_dir(&parent.join("a/b"), true).unwrap();
        for level in [parent.join("a"), made] {
            assert_eq!(fs::metadata(level).unwrap().mode() & 0o777, 0o711);
        }
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn private_directories_are_created_and_accepted_again() {
        let parent = scratch("private");
        for _ in 0..2 {
            let path = private_directory(parent.join("p"), None).unwrap();
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700);
        }
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn links_files_and_open_directories_are_refused() {
        let parent = scratch("refused");
        std::os::unix::fs::symlink("/", parent.join("link")).unwrap();
        fs::write(parent.join("file"), "").unwrap();
        fs::create_dir(parent.join("open")).unwrap();
        fs::set_permissions(parent.join("open"), Permissions::from_mode(0o755)).unwrap();
        for name in ["link", "file", "open"] {
            let refused = private_directory(parent.join(name), None);
            assert!(matches!(refused, Err(EmbeddedError::Unsafe { .. })), "{name}");
        }
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_long_or_divided_path_moves_the_socket() {
        let short = Path::new("/data/postgres");
        assert_eq!(sockets(Path::new("/data"), short, None).unwrap(), short);
        for odd in ["/x".repeat(60), "/a,b".into()] {
            let odd = PathBuf::from(odd);
            let moved = sockets(&odd, &odd, None).unwrap();
            assert_eq!(moved, Path::new(SHORT_ROOT).join(stable_name(&odd)));
            fs::remove_dir(moved).unwrap();
        }
    }

    #[test]
    fn a_second_lock_is_refused_with_the_pid() {
        let dir = scratch("lock");
        let held = lock(&dir).unwrap();
        let pid = Some(std::process::id());
        assert!(matches!(
            lock(&dir),
            Err(EmbeddedError::AlreadyRunning { pid: found, .. }) if found == pid
        ));
        drop(held);
        lock(&dir).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_log_is_read_from_where_asked_and_bounded() {
        let dir = scratch("log");
        let path = dir.join("postgres.log");
        fs::write(&path, "old\n").unwrap();
        let mut log = Log::open(path.clone()).unwrap();
        let from = log.len();
        log.file.write_all(b"new\n").unwrap();
        assert_eq!(log.since(from), "new\n");
        log.file.set_len(MAX_LOG + 1).unwrap();
        assert_eq!(Log::open(path).unwrap().len(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
