//! Prints results of commands.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// A command's result could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("cannot print the result")]
pub(super) struct Unprinted(#[from] io::Error);

impl Unprinted {
    /// The reader of the result has closed the pipe.
    pub fn nobody_reads(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// Prints a line of a command's result. `println!` would panic where this fails.
pub(super) fn print(line: impl Display) -> Result<(), Unprinted> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
