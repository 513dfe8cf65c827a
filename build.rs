//! Rebuilds when a migration is added, and states the commit in release builds.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

fn main() {
    // `embed_migrations!` reads the directory, but cargo does not see that.
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=MINTAGE_COMMIT");
    // Other builds would be made again after each commit, only to state it.
    let is_release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    if is_release && env::var_os("MINTAGE_COMMIT").is_none() {
        state_commit();
    }
}

/// States the commit, if the sources are a clone and git is installed; `-dirty` after it means that they were changed.
fn state_commit() {
    let described = git(&["describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]);
    let (Some(commit), Some(log)) = (described, git(&["rev-parse", "--git-path", "logs/HEAD"])) else {
        return;
    };
    println!("cargo::rustc-env=MINTAGE_COMMIT={commit}");
    // Cargo would run this each time if one of them did not exist.
    for path in [log.as_str(), "src", "Cargo.lock"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let here = env::var_os("CARGO_MANIFEST_DIR")?;
    let output = Command::new("git")
        .args(arguments)
        .current_dir(&here)
        // Not a repository that only contains the sources, such as that of a vendored copy.
        .env("GIT_CEILING_DIRECTORIES", Path::new(&here).parent()?)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
