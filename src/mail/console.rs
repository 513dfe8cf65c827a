//! Mails on stdout, for development.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{sync::Semaphore, task, time};

/// Time for the reader of stdout.
const PATIENCE: Duration = Duration::from_secs(5);

/// At most one thread prints, since one that writes to a full pipe cannot be interrupted.
static CONSOLE: Semaphore = Semaphore::const_new(1);

/// Prints the mail within 10 seconds.
///
/// # Errors
/// Stdout is closed, full or not read. If it is not read, the mail may still be printed later.
pub(super) async fn print(mail: String) -> Result<()> {
    let unread = "stdout is not read";
    let turn = time::timeout(PATIENCE, CONSOLE.acquire()).await.context(unread)?;
    let printing = task::spawn_blocking(move || {
        let _turn = turn;
        io::stdout().write_all(mail.as_bytes())
    });
    Ok(time::timeout(PATIENCE, printing).await.context(unread)?.context("the thread panicked")??)
}
