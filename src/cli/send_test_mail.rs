//! `mintage send-test-mail`

use anyhow::{Context, Result};
use clap::Args;

use super::{database::with_connection, output::print};
use crate::{config::Config, db, jobs, mail::TestMail, users::EmailAddress};

#[derive(Args)]
pub(super) struct Arguments {
    /// Address of the recipient
    #[arg(long)]
    to: String,
}

/// Enqueues a mail, which is sent like every other.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let address = EmailAddress::parse(&arguments.to).context("--to is not an email address")?;
    let mail = TestMail { to: address.given().to_owned() };
    let id = with_connection(config, |conn| {
        let now = db::now(conn)?;
        Ok(jobs::enqueue(conn, &mail, now)?)
    })?;
    print(format_args!(
        "enqueued the mail as job {id}; a running server sends it (GET /api/v1/admin/jobs shows failures)"
    ))?;
    Ok(())
}
