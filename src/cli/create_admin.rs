use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Args;
use diesel::{Connection, PgConnection};

use super::database::with_connection;
use crate::{
    clock::Clock,
    config::Config,
    db::{constraint_violated, migrate},
    passwords::{self, Hasher},
    tokens::{
        Role,
        sessions::{self, Which},
    },
    users::{self, EmailAddress, NewUser},
};

#[derive(Args)]
pub(super) struct Arguments {
    /// E-mail address to log in with
    #[arg(long)]
    email: String,
    /// Read the password from standard input; otherwise one is generated and printed once
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let email = EmailAddress::parse(&arguments.email).context("--email is not an e-mail address")?;
    with_connection(config, |conn| {
        if config.database.auto_migrate {
            migrate::run(conn)?;
        }
        migrate::check_current(conn)?;
        if promote(conn, &email)? {
            println!("{} is an admin now; its sessions have ended", email.given());
            return Ok(());
        }
        let password = if arguments.password_stdin { read_password(&email)? } else { generate() };
        let hash = Hasher::hash_now(&password, config.passwords.cost)?;
        let new = NewUser::new(&email, hash, Role::Admin, Clock::default().now());
        match users::insert(conn, &new) {
            Ok(user) => println!("created admin {} with id {}", user.email, user.id),
            Err(error) if constraint_violated(&error).is_some() => {
                bail!("the account was registered at this moment: run this again")
            }
            Err(error) => return Err(error.into()),
        }
        if !arguments.password_stdin {
            println!("password: {password}");
        }
        Ok(())
    })
}

/// The role stands in access tokens, so the old ones must go.
fn promote(conn: &mut PgConnection, email: &EmailAddress) -> Result<bool> {
    conn.transaction(|conn| {
        let promoted = users::promote(conn, email, Clock::default().now())?;
        if let Some(user) = promoted {
            sessions::end(conn, user, Which::All)?;
        }
        Ok(promoted.is_some())
    })
}

fn read_password(email: &EmailAddress) -> Result<String> {
    let mut text = String::new();
    io::stdin().take(4096).read_to_string(&mut text)?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(!password.contains('\0'), "the password must not contain U+0000");
    if let Err(error) = passwords::check(&password, &[Some(email.given())]) {
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
