//! `mintage create-admin`

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use diesel::{Connection, PgConnection};

use super::{database::with_prepared, output::print};
use crate::{
    audit::{Actor, Event, EventKind},
    auth::{Ended, challenges},
    config::Config,
    db,
    passwords::{Hasher, Policy},
    tokens::Role,
    users::{self, Account, EmailAddress, NewUser},
};

#[derive(Args)]
pub(super) struct Arguments {
    /// Email address to log in with
    #[arg(long)]
    email: String,
    /// Read the password from standard input instead of generating and printing one
    #[arg(long)]
    password_stdin: bool,
    /// Promote an account even if its address was changed within the last 7 days
    ///
    /// The account may belong to the owner of its former address, who can no longer undo the change.
    #[arg(long)]
    force: bool,
}

/// How long the owner of the former address can undo a change of address.
const UNDO: TimeDelta = TimeDelta::days(7);

pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let email = EmailAddress::parse(&arguments.email).context("--email is not an email address")?;
    let password = if arguments.password_stdin { read_password(&email, config)? } else { generate() };
    let hash = Hasher::hash_now(&password, config.passwords.cost)?;
    with_prepared(config, |conn| {
        let now = db::now(conn)?;
        let done = conn.transaction(|conn| create_or_promote(conn, &email, &hash, arguments.force, now))?;
        print(done)?;
        if !arguments.password_stdin {
            print(format_args!("password: {password}"))?;
        }
        Ok(())
    })
}

/// Creates an admin or promotes the account; returns what was done, in words.
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
    // The address may be reserved as the former one of another account. The operator's command has priority.
    let released = challenges::release(conn, email, now)?;
    let new = NewUser::new(email.clone(), hash.to_owned(), Role::Admin, now).confirmed();
    let user = users::insert(conn, &new).context("the account cannot be created")?;
    Event::new(EventKind::Registered, Actor::Operator)
        .about(user.id)
        .detail("role", "admin")
        .record(conn, now)?;
    let mut done = vec![format!("created admin {} with id {}", user.email, user.id)];
    done.extend(released.iter().map(|former| {
        format!("the account {former}, which had this address before, can no longer get it back")
    }));
    Ok(done.join("\n"))
}

/// Promotes an account. It may have been made by someone else, who registered the address first or had it confirmed for
/// another account. So it also gets a new password and loses its names, sessions, API keys and links, above all one that gives
/// the account its former address back.
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
            "this account has the address {} only since {}; it had another address before and may belong to \
             someone else. Use --force to promote it anyway: that sets a new password, removes its names, ends \
             its sessions and deletes all its links, also the one that undoes the change",
            account.email.given(),
            changed_at.format("%-d %B %Y at %H:%M UTC")
        );
    }
    users::take_over(conn, account.id, hash, now)?;
    users::promote(conn, account.id)?;
    challenges::cancel_all(conn, account.id)?;
    let event = Event::new(EventKind::ApiKeyRevoked, Actor::Operator).about(account.id);
    Ended::all(conn, account.id, event, now)?.leave_to_servers();
    Event::new(EventKind::RoleChanged, Actor::Operator)
        .about(account.id)
        .detail("role", "admin")
        .record(conn, now)?;
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
