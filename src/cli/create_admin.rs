use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use diesel::{Connection, PgConnection};

use super::{database::with_connection, output::print};
use crate::{
    auth::challenges,
    config::Config,
    db::{self, migrate},
    passwords::{Hasher, Policy},
    tokens::{
        Role,
        sessions::{self, Selection},
    },
    users::{self, Account, EmailAddress, NewUser},
};

#[derive(Args)]
pub(super) struct Arguments {
    /// E-mail address to log in with
    #[arg(long)]
    email: String,
    /// Read the password from standard input; otherwise one is generated and printed once
    #[arg(long)]
    password_stdin: bool,
    /// Promote an account even if its address changed in the last 7 days: then the person who had it
    /// before may be a stranger, whose right to undo the change ends
    #[arg(long)]
    force: bool,
}

/// After a change of the address the former one can take the account back for so long.
const UNDO: TimeDelta = TimeDelta::days(7);

pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let email = EmailAddress::parse(&arguments.email).context("--email is not an e-mail address")?;
    let password = if arguments.password_stdin { read_password(&email, config)? } else { generate() };
    let hash = Hasher::hash_now(&password, config.passwords.cost)?;
    with_connection(config, |conn| {
        if config.database.auto_migrate {
            migrate::run(conn)?;
        }
        migrate::check_current(conn)?;
        let now = db::now(conn)?;
        let done = conn.transaction(|conn| create_or_promote(conn, &email, &hash, arguments.force, now))?;
        print(done)?;
        if !arguments.password_stdin {
            print(format_args!("password: {password}"))?;
        }
        Ok(())
    })
}

/// What was done, in words.
fn create_or_promote(
    conn: &mut PgConnection,
    email: &EmailAddress,
    hash: &str,
    force: bool,
    now: DateTime<Utc>,
) -> Result<String> {
    if let Some(account) = users::lock_account_of(conn, email)? {
        promote(conn, &account, hash, force, now)?;
        return Ok(format!(
            "{} is an admin now, with a new password and without names; its sessions have ended",
            email.given()
        ));
    }
    // The former address of another account is reserved for that. The operator's word counts more.
    let released = challenges::release(conn, email, now)?;
    let new = NewUser::new(email.clone(), hash.to_owned(), Role::Admin, now).confirmed();
    let user = users::insert(conn, &new).context("the account cannot be created")?;
    let mut done = vec![format!("created admin {} with id {}", user.email, user.id)];
    done.extend(released.iter().map(|former| {
        format!("the account {former}, which had this address before, cannot get it back any more")
    }));
    Ok(done.join("\n"))
}

/// The account may have been made by a stranger, who registered the address first or had it
/// confirmed for an account of his. So it gets a new password together with the role, and nothing of
/// before goes on: no name, no session (tokens carry the role, too), no link, above all none that
/// gives the account its former address back.
fn promote(
    conn: &mut PgConnection,
    account: &Account,
    hash: &str,
    force: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    if let Some(changed_at) = account.email_changed_at.filter(|at| now - *at < UNDO)
        && !force
    {
        bail!(
            "{} is the address of this account only since {}; before, the account had another address and \
             may be a stranger's. Give --force to promote it all the same: that sets a new password, removes \
             its names, ends its sessions and deletes every link for it, also the one that undoes the change",
            account.email.given(),
            changed_at.format("%-d %B %Y at %H:%M UTC")
        );
    }
    users::take_over(conn, account.id, hash, now)?;
    users::promote(conn, account.id)?;
    challenges::cancel_all(conn, account.id)?;
    sessions::end(conn, account.id, Selection::All)?.leave_to_servers();
    Ok(())
}

fn read_password(email: &EmailAddress, config: &Config) -> Result<String> {
    let mut text = String::new();
    io::stdin().take(4096).read_to_string(&mut text)?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(!password.contains('\0'), "the password must not contain U+0000");
    let policy = Policy::new(&config.mail.product_name, &config.server.public_url);
    if let Err(error) = policy.check(&password, &[Some(email.given())]) {
        bail!("the password {}", error.message.unwrap_or(error.code));
    }
    Ok(password)
}

/// 144 bits.
fn generate() -> String {
    let mut bytes = [0; 18];
    rand::fill(&mut bytes).expect("the operating system has randomness");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
