//! The log cannot be written: its reader has ended, its disk is full, or its reader does not read.

use std::{
    fs::OpenOptions,
    io,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use mintage_bench::{http::Connection, process::Home};
use nix::sys::signal::Signal;

use crate::{
    Row,
    cluster::Cluster,
    database::{Ledger, acknowledged, mixture},
    load::{Load, percentile},
    server::{Server, wait_for},
};

const PATIENCE: Duration = Duration::from_secs(10);

pub fn gone(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let name = "stdout and stderr are a pipe whose reader has ended";
    let (reader, writer) = io::pipe()?;
    drop(reader);
    rows.extend(without_log(cluster, name, writer.try_clone()?.into(), writer.into())?);

    let name = "stdout and stderr are on a full disk";
    let full = || OpenOptions::new().write(true).open("/dev/full");
    rows.extend(without_log(cluster, name, full()?.into(), full()?.into())?);

    let name = "stdout and stderr are a pipe that is not read";
    let (reader, writer) = io::pipe()?;
    rows.extend(without_log(cluster, name, writer.try_clone()?.into(), writer.into())?);
    drop(reader);
    Ok(rows)
}

/// Logs a line for each request while PostgreSQL stops and restarts. Afterwards everything must work.
fn without_log(cluster: &Cluster, name: &str, stdout: Stdio, stderr: Stdio) -> Result<Vec<Row>> {
    let settings = [("LOG_LEVEL", "debug")];
    let server = Server::launch(Home::new()?, cluster.url(), &settings, stdout, stderr)?;
    server.wait_until_ready()?;
    let mut other = Server::start(cluster.url(), &[])?;
    let prefix = format!("log{}-", server.child.id());
    let user = other.account(&format!("{prefix}user@example.com"))?;
    let ledger = Ledger::default();
    let load = Load::start(&server.address, mixture(server.accounts(&prefix, 8)?, &ledger));
    thread::sleep(Duration::from_millis(500));
    cluster.go_away()?;
    thread::sleep(Duration::from_secs(3));
    cluster.come_back()?;
    wait_for("recovery", || server.account(&format!("{prefix}back@example.com")).is_ok())?;
    let samples = load.stop();
    let mut rows = vec![acknowledged(name, cluster, &samples, &ledger)?];

    let p99 = percentile(samples.iter().filter(|one| one.is(503)), 99);
    rows.push(Row::timed(
        name,
        "503 while PostgreSQL is away",
        "p99 <= 550 ms",
        format!("{p99:.0} ms"),
        p99 <= 550.0,
    ));

    // The first request may use a connection that was closed in the meantime.
    let mut ended = 503;
    wait_for("a log-out", || {
        let log_out = Connection::open(&other.address)
            .and_then(|mut open| open.post_as(&user.access, "/api/v1/auth/logout", ""));
        ended = log_out.map_or(0, |answer| answer.status);
        ended != 503
    })?;
    let began = Instant::now();
    let mut is_refused = false;
    while !is_refused && began.elapsed() < PATIENCE {
        let answer = Connection::open(&server.address)?.get("/api/v1/user", &user.access)?;
        is_refused = answer.body.contains("token-revoked");
        thread::sleep(Duration::from_millis(10));
    }
    let text = format!("log-out {ended}, refused after {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    rows.push(Row::exact(
        name,
        "a log-out on another server is followed",
        "yes",
        text,
        is_refused && ended == 204,
    ));

    // Only the server without a log can send it.
    other.signal(Signal::SIGTERM)?;
    other.wait(Duration::from_secs(40))?;
    let before = server.mails();
    let body = format!(r#"{{"email":"{}"}}"#, user.email);
    Connection::open(&server.address)?.post("/api/v1/auth/password/forgot", &body)?;
    let began = Instant::now();
    while server.mails() == before && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    let sent = server.mails() - before;
    rows.push(Row::exact(name, "mails are sent afterwards", "1", sent, sent == 1));
    Ok(rows)
}
