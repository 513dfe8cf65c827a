use anyhow::Result;
use clap::Subcommand;

use super::database::{secret_key, with_connection};
use crate::{
    clock::Clock,
    config::Config,
    tokens::{self, Sealer},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print key ids, states and ages, newest first
    List,
    /// Let the next key sign, retire the current one, publish a new next one
    Rotate {
        /// Even if services that cache the key set may not know the next key yet
        #[arg(long)]
        hurry: bool,
    },
}

pub(super) fn run(config: &Config, command: &Command) -> Result<()> {
    with_connection(config, |conn| {
        if let Command::Rotate { hurry } = command {
            let sealer = Sealer::new(&secret_key(config)?);
            let kid = tokens::rotate(conn, &sealer, Clock::default().now(), *hurry)?;
            println!("{kid} signs from now on");
            return Ok(());
        }
        for key in tokens::list_keys(conn)? {
            let created = key.created_at.format("%F %T UTC");
            let retired = key.retired_at.map(|at| at.format(", retired %F %T UTC").to_string());
            println!(
                "{}  {:<8} created {created}{}",
                key.kid,
                key.state.as_str(),
                retired.unwrap_or_default()
            );
        }
        Ok(())
    })
}
