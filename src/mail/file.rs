//! Writes mails to files, for tests and development.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use uuid::Uuid;

/// Writes `<id>.eml` atomically, replacing an earlier one. Only the user of the process can read it, because mails
/// contain links that log people in.
pub(super) fn write(directory: &Path, id: Uuid, message: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let unfinished = directory.join(format!("{id}.unfinished"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(message)?;
    fs::rename(unfinished, directory.join(format!("{id}.eml")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn other_users_cannot_read_mails() {
        let parent = tempfile::tempdir().expect("directory");
        let directory = parent.path().join("mail");
        for text in ["a long text", "another"] {
            write(&directory, Uuid::nil(), text.as_bytes()).expect("written");
        }
        let file = directory.join(format!("{}.eml", Uuid::nil()));
        assert_eq!(fs::read_to_string(&file).expect("text"), "another");
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    }
}
