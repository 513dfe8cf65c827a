//! Mails as files, for tests and for trying things out.

use std::{fs, io, path::Path};

use uuid::Uuid;

/// Writes `<id>.eml`, whole or not at all; the same mail again replaces itself.
pub(super) fn write(directory: &Path, id: Uuid, message: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let unfinished = directory.join(format!("{id}.unfinished"));
    fs::write(&unfinished, message)?;
    fs::rename(unfinished, directory.join(format!("{id}.eml")))
}
