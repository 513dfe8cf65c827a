use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use diesel::{Connection, PgConnection};

use super::{
    database::{secret_key_to_begin_with, with_connection},
    output::print,
};
use crate::{
    config::Config,
    db,
    tokens::{
        self, Sealer,
        sessions::{self, Selection},
    },
    users::{self, EmailAddress},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// End sessions at once, on all running servers; people log in again
    End(End),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct End {
    /// Every session: replaces all signing keys, so that no token issued before is accepted
    ///
    /// Needed after the database was restored from a dump, and when `SECRET_KEY` (or `secret.key` in
    /// `DATA_DIR`) is lost: the former keys need not be readable. Servers that run with another
    /// `SECRET_KEY` have to be started again with the new one.
    #[arg(long)]
    all: bool,
    /// Those of the account with this e-mail address
    #[arg(long)]
    user: Option<String>,
}

pub(super) fn run(config: &Config, Command::End(which): &Command) -> Result<()> {
    let Some(address) = &which.user else {
        return with_connection(config, |conn| end_all(config, conn));
    };
    let email = EmailAddress::parse(address).context("--user is not an e-mail address")?;
    with_connection(config, |conn| end_those_of(conn, &email))
}

fn end_those_of(conn: &mut PgConnection, email: &EmailAddress) -> Result<()> {
    let ended = conn.transaction(|conn| -> Result<usize> {
        let account =
            users::lock_account_of(conn, email)?.context("there is no account with this address")?;
        Ok(sessions::end(conn, account.id, Selection::All)?.leave_to_servers())
    })?;
    Ok(print(format_args!("ended {}", count(ended)))?)
}

fn end_all(config: &Config, conn: &mut PgConnection) -> Result<()> {
    let sealer = Sealer::new(&secret_key_to_begin_with(config)?);
    let now = db::now(conn)?;
    let ended = tokens::end_all(conn, &sealer, now)?;
    print(format_args!("replaced the signing keys and ended {}", count(ended)))?;
    print(
        "Servers that are in touch with PostgreSQL refuse every token that was issued before: people log in again.",
    )?;
    print(
        "Other services accept older access tokens until they fetch the key set again, at most 5 minutes, \
         and may refuse new ones until then.",
    )?;
    Ok(())
}

fn count(sessions: usize) -> String {
    format!("{sessions} session{}", if sessions == 1 { "" } else { "s" })
}
