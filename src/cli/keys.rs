//! `mintage keys`

use anyhow::Result;
use clap::Subcommand;
use diesel::PgConnection;

use super::{
    database::{secret_key, with_connection},
    output::{Unprinted, print},
};
use crate::{
    audit::{Actor, Event, EventKind},
    config::Config,
    db,
    tokens::{self, KeyRow, KeyState, Revoked, Sealer},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List ids, states and ages of keys, newest first
    List,
    /// Make the next key the current one, retire the current one and publish a new next one
    Rotate {
        /// Rotate even if services that cache the key set may not have the next key yet
        #[arg(long)]
        hurry: bool,
    },
    /// Remove a key that may have been stolen
    ///
    /// Servers refuse all tokens that it signed at once, so users have to log in again. If it is the
    /// current key, the next one becomes current. `keys list` prints ids and states.
    ///
    /// Someone who has a copy of the database and `SECRET_KEY` has all keys: change `SECRET_KEY`,
    /// then revoke all keys, the next one first.
    Revoke {
        /// Id of the key
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
                let event = Event::new(EventKind::SigningKeysRotated, Actor::Operator);
                event.detail("kid", kid.as_str()).record(conn, now)?;
                print(format_args!("{kid} is the current key now"))?;
            }
            Command::Revoke { kid } => {
                let sealer = sealer(config, conn)?;
                let revoked = tokens::revoke(conn, &sealer, kid, now)?;
                let event = Event::new(EventKind::SigningKeyRevoked, Actor::Operator);
                event.detail("kid", kid.as_str()).record(conn, now)?;
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
    if keys.is_empty() {
        print("there are no signing keys yet: a server makes them at its first start")?;
    }
    for key in keys {
        let created = key.created_at.format("%F %T UTC");
        let retired = key.retired_at.map(|at| at.format(", retired %F %T UTC").to_string());
        let (state, algorithm) = (key.state.as_str(), &key.algorithm);
        let retired = retired.unwrap_or_default();
        print(format_args!("{}  {state:<8} {algorithm} created {created}{retired}", key.kid))?;
    }
    Ok(())
}

fn print_revoked(kid: &str, revoked: &Revoked) -> Result<(), Unprinted> {
    print(format_args!("revoked {kid}, which was the {} key", revoked.state.as_str()))?;
    if let Some(signs) = &revoked.signs_now {
        print(format_args!("{signs} is the current key now"))?;
    }
    if revoked.state != KeyState::Retired {
        print("published a new next key")?;
    }
    print(
        "Servers refuse all tokens that the revoked key signed: users whose tokens it signed have to log in \
         again.",
    )?;
    print("Other services accept its access tokens until they fetch the key set again, within 5 minutes.")?;
    if revoked.may_be_unknown {
        print("The current key is so new that they may refuse its tokens until then.")?;
    }
    Ok(())
}
