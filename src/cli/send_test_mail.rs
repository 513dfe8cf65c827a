//! Runs `mintage send-test-mail`: sends a mail to see whether mail works.

use anyhow::{Context, Result};
use clap::Args;

use super::{database::with_connection, output::print};
use crate::{config::Config, db, jobs, mail::TestMail, users::EmailAddress};

#[derive(Args)]
pub(super) struct Arguments {
    /// Where to
    #[arg(long)]
    to: String,
}

/// By the same way as every mail: the queue, a worker, the transport.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let address = EmailAddress::parse(&arguments.to).context("this is not an e-mail address")?;
    let mail = TestMail { to: address.given().to_owned() };
    let id = with_connection(config, |conn| {
        let now = db::now(conn)?;
        Ok(jobs::enqueue(conn, &mail, now)?)
    })?;
    print(format_args!(
        "the mail is job {id}, which a running server sends (GET /api/v1/admin/jobs shows its failures)"
    ))?;
    Ok(())
}
