//! Shared by all tests: a server on a database of its own for each test, and clients by role.

mod app;
pub mod binary;
mod client;
mod contract;
pub mod events;
mod mailbox;
pub mod market;
pub mod noted;
mod path_to_database;
pub mod points;
mod postgres;
pub mod queue;
mod raw;
pub mod secrets;
pub mod smtp;
pub mod social;
pub mod upstream;

use std::time::Duration;

use diesel::{Connection, connection::SimpleConnection};
use tokio::time;

pub use self::{
    app::{App, PASSWORD, PRODUCTION, PUBLIC_URL, SECRET_KEY, begin_minutes, noon},
    client::{Client, Response},
    mailbox::{Mailbox, ParsedMail},
    path_to_database::PathToDatabase,
    postgres::{Database, Role},
    raw::speak,
};

/// Checks the condition until it holds, within a bound for the slowest of machines: three minutes
/// and the time of the checks.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..3600 {
        if condition().await {
            return;
        }
        time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}

/// Makes a request an import of one transaction.
pub fn file_of_transactions(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    let file = "day,kind,coin,amount,total\n2026-01-01,buy,bitcoin,1,1\n";
    request.header("content-type", "text/csv").body(file)
}

/// Locks all rows of `table`, sends `ask`, and asserts that the job which this enqueues waits for them while the
/// challenges are not locked.
pub async fn assert_waits_without_challenge(app: &App, table: &str, ask: impl Future<Output = Response>) {
    let (mut holder, mut watcher) = (app.sql(), app.sql());
    holder.batch_execute(&format!("BEGIN; SELECT FROM {table} FOR UPDATE")).expect("locked");
    ask.await.assert(202);
    eventually("a job that waits", async || app.database().waiting_for_locks() == 1).await;
    watcher
        .transaction(|watcher| watcher.batch_execute("SELECT FROM challenges FOR UPDATE NOWAIT"))
        .expect("no challenge is locked");
    holder.batch_execute("ROLLBACK").expect("free");
}
