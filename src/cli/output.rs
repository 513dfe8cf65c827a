//! Prints the results of commands.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// A command's result could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("cannot print the result")]
pub(super) struct Unprinted(#[from] io::Error);

impl Unprinted {
    /// Whether the reader of the result has closed the pipe.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// Prints a line of a result. `println!` panics if stdout is closed.
pub(super) fn print(line: impl Display) -> Result<(), Unprinted> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
