//! Mails on stdout, for development.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{sync::Semaphore, task, time};

/// Of the reader of the console.
const PATIENCE: Duration = Duration::from_secs(5);

/// A thread that prints to a pipe that is not read cannot be interrupted: no more than one hangs.
static CONSOLE: Semaphore = Semaphore::const_new(1);

/// Prints the mail within 10 seconds.
///
/// # Errors
/// Stdout is closed, full, or not read. In that last case the mail may still be printed later.
pub(super) async fn print(mail: String) -> Result<()> {
    let unread = "nothing reads stdout";
    let turn = time::timeout(PATIENCE, CONSOLE.acquire()).await.context(unread)?;
    let printing = task::spawn_blocking(move || {
        let _turn = turn;
        io::stdout().write_all(mail.as_bytes())
    });
    Ok(time::timeout(PATIENCE, printing).await.context(unread)?.context("the thread panicked")??)
}
