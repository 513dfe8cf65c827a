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
    db::migrate,
    passwords::{Hasher, Policy},
    tokens::{
        Role, challenges,
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
    let password = if arguments.password_stdin { read_password(&email, config)? } else { generate() };
    let hash = Hasher::hash_now(&password, config.passwords.cost)?;
    with_connection(config, |conn| {
        if config.database.auto_migrate {
            migrate::run(conn)?;
        }
        migrate::check_current(conn)?;
        if take_over(conn, &email, &hash)? {
            println!("{} is an admin now, with a new password; its sessions have ended", email.given());
        } else {
            let new = NewUser::new(&email, hash, Role::Admin, Clock::default().now()).confirmed();
            let user = users::insert(conn, &new).context("the account cannot be created")?;
            println!("created admin {} with id {}", user.email, user.id);
        }
        if !arguments.password_stdin {
            println!("password: {password}");
        }
        Ok(())
    })
}

/// An account of that address may be a stranger's, who registered it first: it gets the new
/// password together with the role, and nothing that the stranger has asked for goes on. Its
/// sessions end, also because tokens carry the role.
fn take_over(conn: &mut PgConnection, email: &EmailAddress, hash: &str) -> Result<bool> {
    conn.transaction(|conn| {
        let promoted = users::promote(conn, email, hash, Clock::default().now())?;
        if let Some(user) = promoted {
            challenges::cancel(conn, user)?;
            sessions::end(conn, user, Which::All)?;
        }
        Ok(promoted.is_some())
    })
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
