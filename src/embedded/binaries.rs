//! Finds the installed versions of `PostgreSQL`.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{EmbeddedError, at};

/// Where packages put each version: the parent, and how the name of the version's directory begins.
const PACKAGED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// A directory with the programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) bin: PathBuf,
    pub(super) major: u32,
}

impl Installation {
    pub(super) fn command(&self, program: &str) -> Command {
        bare_command(&self.bin.join(program))
    }
}

/// TZ and `LC_ALL` save initdb from guessing; macOS also needs a valid `LC_ALL` to start at all.
fn bare_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Every directory that may hold the programs, those on PATH first.
pub(super) fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A relative entry means whatever directory we happen to be in: not to be run, least by root.
    let mut found: Vec<PathBuf> = env::split_paths(&path).filter(|p| p.is_absolute()).collect();
    for (parent, prefix) in PACKAGED {
        found.extend(packaged(Path::new(parent), prefix));
    }
    found
}

fn packaged(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .collect()
}

/// The usable installations among `candidates`, in that order.
pub(super) fn installed(candidates: &[PathBuf]) -> Vec<Installation> {
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in candidates.iter().filter_map(|dir| complete(dir)) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories.into_iter().filter_map(|bin| version(&bin).map(|major| Installation { bin, major })).collect()
}

/// The first of the newest version, so that PATH decides between two of the same.
pub(super) fn newest(installed: &[Installation]) -> Option<&Installation> {
    installed.iter().rev().max_by_key(|found| found.major)
}

/// A postgres counts only with an initdb beside it; links lead to where the programs really are.
fn complete(directory: &Path) -> Option<PathBuf> {
    let real = directory.join("postgres").canonicalize().ok()?;
    [real.parent()?, directory]
        .into_iter()
        .find(|dir| is_program(&dir.join("postgres")) && is_program(&dir.join("initdb")))
        .map(Path::to_owned)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn version(bin: &Path) -> Option<u32> {
    let output = bare_command(&bin.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// From `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, also with `17beta2` or `18devel`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The major version that made a cluster.
pub(super) fn cluster_major(cluster: &Path) -> Result<u32, EmbeddedError> {
    let path = cluster.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    text.trim()
        .parse()
        .map_err(|_| EmbeddedError::Unsafe { path, problem: "does not hold a version of PostgreSQL".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(test: &str, programs: &[(&str, &str)]) -> PathBuf {
        let dir = env::temp_dir().join(format!("mintage-{test}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (name, script) in programs {
            let path = dir.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir.canonicalize().unwrap()
    }

    fn prints(version: &str) -> String {
        format!("echo 'postgres (PostgreSQL) {version}'")
    }

    #[test]
    fn versions_are_parsed() {
        let debian = "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n";
        assert_eq!(parse_major(debian), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 17beta2\n"), Some(17));
        assert_eq!(parse_major("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(parse_major("something else 3"), None);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        assert_eq!(installed(&[]), []);
        assert_eq!(installed(&["/nonexistent".into()]), []);
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn a_lone_postgres_does_not_count() {
        let lone = directory("lone", &[("postgres", &prints("16.1"))]);
        let broken = directory("broken", &[("postgres", "exit 1"), ("initdb", "")]);
        assert_eq!(installed(&[lone.clone(), broken.clone()]), []);
        fs::remove_dir_all(lone).unwrap();
        fs::remove_dir_all(broken).unwrap();
    }

    #[test]
    fn links_are_followed_and_the_newest_wins() {
        let old = directory("old", &[("postgres", &prints("9.6.24")), ("initdb", "")]);
        let new = directory("new", &[("postgres", &prints("16.1")), ("initdb", "")]);
        let links = directory("links", &[]);
        std::os::unix::fs::symlink(new.join("postgres"), links.join("postgres")).unwrap();
        let found = installed(&[old.clone(), links.clone(), new.clone()]);
        assert_eq!(found.len(), 2);
        let best = Installation { bin: new.clone(), major: 16 };
        assert_eq!(newest(&found), Some(&best));
        for dir in [old, new, links] {
            fs::remove_dir_all(dir).unwrap();
        }
    }
}
