//! `mintage sessions`

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use diesel::{Connection, PgConnection};

use super::{
    database::{secret_key_or_new, with_connection},
    output::print,
};
use crate::{
    audit::{self, Actor, Event, EventKind},
    config::Config,
    db,
    tokens::{
        self, AllEnded, Sealer,
        sessions::{self, Selection},
    },
    users::{self, EmailAddress},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// End sessions at once, on all running servers; users have to log in again
    End(End),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct End {
    /// End all sessions, replace all signing keys and revoke all API keys, so that nothing issued before is accepted
    ///
    /// Use it after the database was restored from a backup, or when `SECRET_KEY` (or `secret.key` in
    /// `DATA_DIR`) is lost: the old keys need not be readable. Servers that run with another
    /// `SECRET_KEY` have to be restarted with the new one.
    #[arg(long)]
    all: bool,
    /// End the sessions of the account with this email address
    #[arg(long)]
    user: Option<String>,
}

pub(super) fn run(config: &Config, Command::End(which): &Command) -> Result<()> {
    let Some(address) = &which.user else {
        return with_connection(config, |conn| end_all(config, conn));
    };
    let email = EmailAddress::parse(address).context("--user is not an email address")?;
    with_connection(config, |conn| end_those_of(conn, &email))
}

fn end_those_of(conn: &mut PgConnection, email: &EmailAddress) -> Result<()> {
    let ended = conn.transaction(|conn| -> Result<usize> {
        let account =
            users::lock_account_of(conn, email)?.context("there is no account with this address")?;
        let ended = sessions::end(conn, account.id, Selection::All)?.leave_to_servers();
        let now = db::now(conn)?;
        Event::new(EventKind::SessionEnded, Actor::Operator)
            .about(account.id)
            .detail("count", ended)
            .record(conn, now)?;
        Ok(ended)
    })?;
    Ok(print(format_args!("ended {}", count(ended)))?)
}

fn end_all(config: &Config, conn: &mut PgConnection) -> Result<()> {
    let sealer = Sealer::new(&secret_key_or_new(config)?);
    let now = db::now(conn)?;
    let ended = tokens::end_all(conn, &sealer, now)?;
    audit::begin_if_unusable(conn, &sealer, now)?;
    let AllEnded { sessions, api_keys } = ended;
    Event::new(EventKind::AllSessionsEnded, Actor::Operator)
        .detail("count", sessions)
        .detail("api_keys", api_keys)
        .record(conn, now)?;
    let keys = if api_keys == 1 { "1 API key".into() } else { format!("{api_keys} API keys") };
    print(format_args!("replaced the signing keys, ended {} and revoked {keys}", count(sessions)))?;
    print(
        "Servers that are connected to PostgreSQL refuse all tokens issued before: users have to log in again.",
    )?;
    print(
        "Other services accept old access tokens until they fetch the key set again, within 5 minutes, and may \
         refuse new ones until then.",
    )?;
    Ok(())
}

fn count(sessions: usize) -> String {
    format!("{sessions} session{}", if sessions == 1 { "" } else { "s" })
}
