//! Runs `mintage keys`: lists, rotates and revokes signing keys.

use anyhow::Result;
use clap::Subcommand;
use diesel::PgConnection;

use super::{
    database::{secret_key, with_connection},
    output::{Unprinted, print},
};
use crate::{
    config::Config,
    db,
    tokens::{self, KeyRow, KeyState, Revoked, Sealer},
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
    /// Take a key out of the ring at once, since somebody may have stolen it
    ///
    /// No server accepts a token that it signed from then on, so people log in again. If it is the
    /// current key, the next one signs. `keys list` prints the ids and states.
    ///
    /// A thief with a copy of the database and `SECRET_KEY` has all keys: change `SECRET_KEY`, then
    /// revoke each of them, the next one first.
    Revoke {
        /// The id of the key
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

pub(super) fn run(config: &Config, command: &Command) -> Result<()> {
    with_connection(config, |conn| {
        let now = db::now(conn)?;
        match command {
            Command::List => print_all(&tokens::list_keys(conn)?)?,
            Command::Rotate { hurry } => {
                let sealer = sealer(config, conn)?;
                let kid = tokens::rotate(conn, &sealer, now, *hurry)?;
                print(format_args!("{kid} signs from now on"))?;
            }
            Command::Revoke { kid } => {
                let sealer = sealer(config, conn)?;
                let revoked = tokens::revoke(conn, &sealer, kid, now)?;
                print_revoked(kid, &revoked)?;
            }
        }
        Ok(())
    })
}

fn sealer(config: &Config, conn: &mut PgConnection) -> Result<Sealer> {
    Ok(Sealer::new(&secret_key(config, || Ok(tokens::has_keys(conn)?))?))
}

fn print_all(keys: &[KeyRow]) -> Result<(), Unprinted> {
    for key in keys {
        let created = key.created_at.format("%F %T UTC");
        let retired = key.retired_at.map(|at| at.format(", retired %F %T UTC").to_string());
        let (state, retired) = (key.state.as_str(), retired.unwrap_or_default());
        print(format_args!("{}  {state:<8} created {created}{retired}", key.kid))?;
    }
    Ok(())
}

fn print_revoked(kid: &str, revoked: &Revoked) -> Result<(), Unprinted> {
    print(format_args!("revoked {kid}, which was the {} key", revoked.state.as_str()))?;
    if let Some(signs) = &revoked.signs_now {
        print(format_args!("{signs} signs from now on"))?;
    }
    if revoked.state != KeyState::Retired {
        print("a new next key is published")?;
    }
    print(
        "Servers refuse every token that the revoked key signed: people whose session it signed last log \
         in again.",
    )?;
    print("Other services accept its access tokens until they fetch the key set again: at most 5 minutes.")?;
    if revoked.may_be_unknown {
        print("The key that signs now is so new that they may refuse its tokens until then.")?;
    }
    Ok(())
}
