//! `mintage completions` and `mintage man`

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, output::print};

pub(super) fn print_completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mintage", &mut script);
    Ok(print(String::from_utf8(script)?.trim_end())?)
}

/// Writes `mintage.1` and a page for each command, such as `mintage-keys-rotate.1`.
pub(super) fn write_pages(directory: &Path) -> Result<()> {
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write the manual pages into {}", directory.display()))?;
    Ok(print(format_args!("wrote the manual pages into {}", directory.display()))?)
}
