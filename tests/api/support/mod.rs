//! What every test uses: a server of its own on a database of its own, and clients by role.

mod app;
mod client;
mod contract;
mod mailbox;
mod postgres;
pub mod smtp;
pub mod upstream;

use std::time::Duration;

use tokio::time;

pub use self::{
    app::{App, PASSWORD},
    client::{Client, Response},
    mailbox::{Mailbox, ParsedMail},
    postgres::Database,
};

/// Looks again until the condition holds, within a generous bound.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if condition().await {
            return;
        }
        time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}
