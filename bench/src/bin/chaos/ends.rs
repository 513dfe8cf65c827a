//! The server is stopped or killed, and a thousand clients come at once.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mintage_bench::{
    http::{Connection, member},
    process::Home,
};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Barrier,
};

use crate::{
    Row,
    cluster::Cluster,
    database::{Ledger, mixture, register},
    load::{Ask, Load},
    server::{Account, Server, wait_for},
};

const STOPS: usize = 4;
const STREAMS: usize = 8;

pub fn stopped(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let (mut broken, mut requests, mut clean, mut slowest) = (0, 0, 0, Duration::ZERO);
    for stop in 0..STOPS {
        let mut server = Server::start(cluster.url(), &[("DRAIN_DELAY", "2s")])?;
        let accounts = server.accounts(&format!("stop{stop}-"), 16)?;
        let streams = accounts.iter().take(STREAMS).map(|account| stream(&server.address, &account.access));
        let streams = streams.collect::<Result<Vec<_>>>()?;
        let load = Load::start(&server.address, mixture(accounts, &Ledger::default()));
        thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        server.signal(Signal::SIGTERM)?;
        clean += streams
            .into_iter()
            .map(|one| thread::spawn(move || ends_well(one)))
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|one| one.join().ok())
            .filter(|well| *well)
            .count();
        server.wait(Duration::from_secs(60))?;
        slowest = slowest.max(began.elapsed());
        let samples = load.stop();
        requests += samples.len();
        broken += samples.iter().filter(|one| !one.is_success()).count();
    }
    let name = format!("SIGTERM with 16 clients and {STREAMS} streams, DRAIN_DELAY 2 s, {STOPS} times");
    let exit = format!("{:.1} s", slowest.as_secs_f64());
    Ok(vec![
        Row::exact(
            &name,
            "requests without a proper answer",
            "0",
            format!("{broken} of {requests}"),
            broken == 0 && requests > 0,
        ),
        Row::exact(
            &name,
            "streams that end properly",
            "all",
            format!("{clean} of {}", STREAMS * STOPS),
            clean == STREAMS * STOPS,
        ),
        Row::timed(&name, "exit", "<= 3 s", exit, slowest <= Duration::from_secs(3)),
        half_a_body(cluster)?,
    ])
}

/// Half a body, and idle connections, at SIGTERM.
fn half_a_body(cluster: &Cluster) -> Result<Row> {
    let mut server = Server::start(cluster.url(), &[])?;
    let idle = (0..50).map(|_| TcpStream::connect(&server.address)).collect::<Result<Vec<_>, _>>()?;
    let mut half = TcpStream::connect(&server.address)?;
    half.write_all(b"POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{")?;
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    server.signal(Signal::SIGTERM)?;
    server.wait(Duration::from_secs(60))?;
    let took = began.elapsed();
    drop(idle);
    let name = "SIGTERM with half a body and 50 idle connections";
    Ok(Row::timed(
        name,
        "exit",
        "<= 10 s",
        format!("{:.1} s", took.as_secs_f64()),
        took <= Duration::from_secs(10),
    ))
}

/// An event stream that has begun.
fn stream(address: &str, token: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head =
        format!("GET /api/v1/coins/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut part = [0; 4096];
    ensure!(stream.read(&mut part)? > 0 && part.starts_with(b"HTTP/1.1 200"), "no stream");
    Ok(stream)
}

/// Whether the last chunk arrives before the connection closes.
fn ends_well(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok() && rest.ends_with(b"0\r\n\r\n")
}

pub fn killed(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let ledger = Ledger::default();
    let (mut ended, mut log_outs, mut sessions, mut slowest) = (0, 0, 0, Duration::ZERO);
    let rounds = 3;
    for round in 0..rounds {
        let server = Server::start(cluster.url(), &[])?;
        let leavers = server.accounts(&format!("leaver{round}-"), 200)?;
        let stayers = server.accounts(&format!("stayer{round}-"), 8)?;
        let registering = server.accounts(&format!("kill{round}-"), 8)?;
        let asks: Vec<Ask> = registering.iter().map(|one| register(one, &ledger)).collect();
        let load = Load::start(&server.address, asks);
        let stay = thread::spawn({
            let address = server.address.clone();
            move || stay(&address, stayers)
        });
        let leave = thread::spawn({
            let address = server.address.clone();
            move || leave(&address, leavers)
        });
        thread::sleep(Duration::from_millis(250));
        let began = Instant::now();
        drop(server);
        load.stop();
        let left = leave.join().expect("clients");
        let (stayed, exchanges) = stay.join().expect("clients");
        ensure!(exchanges > 0 && !left.is_empty(), "{exchanges} exchanges, {} log-outs", left.len());
        let home = Home::new()?;
        let server = Server::launch(
            home,
            cluster.url(),
            &[],
            std::process::Stdio::null(),
            std::process::Stdio::null(),
        )?;
        server.wait_until_ready()?;
        slowest = slowest.max(began.elapsed());
        log_outs += left.len();
        for account in &left {
            let answer = Connection::open(&server.address)?.get("/api/v1/user", &account.access)?;
            ended += usize::from(answer.body.contains("token-revoked"));
        }
        for account in &stayed {
            let body = format!(r#"{{"refresh_token":"{}"}}"#, account.refresh);
            let status = Connection::open(&server.address)?.post("/api/v1/auth/refresh", &body)?.status;
            sessions += usize::from(status == 200);
        }
    }
    let name = format!("The server is killed (SIGKILL) under load, {rounds} times");
    let registered = ledger.lock().expect("lock");
    let known = cluster.number(
        "SELECT count(*) AS number FROM users WHERE email = ANY (string_to_array($1, ' '))",
        &registered.join(" "),
    )?;
    let kept = usize::try_from(known)? == registered.len() && !registered.is_empty();
    Ok(vec![
        Row::exact(
            &name,
            "acknowledged registrations that are there",
            "all",
            format!("{known} of {}", registered.len()),
            kept,
        ),
        Row::exact(
            &name,
            "acknowledged log-outs that hold",
            "all",
            format!("{ended} of {log_outs}"),
            ended == log_outs && log_outs > 0,
        ),
        Row::exact(
            &name,
            "sessions that continue with their newest token",
            "all",
            format!("{sessions} of {}", 8 * rounds),
            sessions == 8 * rounds,
        ),
        Row::timed(
            &name,
            "ready again",
            "<= 1 s",
            format!("{:.0} ms", slowest.as_secs_f64() * 1e3),
            slowest <= Duration::from_secs(1),
        ),
    ])
}

/// Returns the users whose log-out was acknowledged before the server ended.
fn leave(address: &str, leavers: Vec<Account>) -> Vec<Account> {
    let log_out = |account: &Account| {
        let mut connection = Connection::open(address).ok()?;
        connection.post_as(&account.access, "/api/v1/auth/logout", "").ok().map(|answer| answer.status)
    };
    leavers.into_iter().filter(|account| log_out(account) == Some(204)).collect()
}

/// Refreshes each session in turn until the server ends, each with the newest token it has. Also returns the number of
/// exchanges.
fn stay(address: &str, mut stayers: Vec<Account>) -> (Vec<Account>, usize) {
    let mut exchanges = 0;
    let mut refresh = |account: &mut Account| -> Result<()> {
        let body = format!(r#"{{"refresh_token":"{}"}}"#, account.refresh);
        let answer = Connection::open(address)?.post("/api/v1/auth/refresh", &body)?;
        ensure!(answer.status == 200, "refresh: {}", answer.status);
        account.refresh = member(&answer.body, "refresh_token")?;
        exchanges += 1;
        Ok(())
    };
    while stayers.iter_mut().try_for_each(&mut refresh).is_ok() {}
    (stayers, exchanges)
}

pub fn crowd(cluster: &mut Cluster) -> Result<Vec<Row>> {
    const CLIENTS: usize = 1000;
    let server = Server::start(cluster.url(), &[])?;
    let address: SocketAddr = server.address.parse().context("address")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut times: Vec<Duration> = runtime.block_on(async {
        let start = std::sync::Arc::new(Barrier::new(CLIENTS));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let start = start.clone();
                tokio::spawn(async move {
                    start.wait().await;
                    let began = Instant::now();
                    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
                    stream
                        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                        .await
                        .ok()?;
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await.ok()?;
                    answer.starts_with(b"HTTP/1.1 200").then(|| began.elapsed())
                })
            })
            .collect();
        let mut times = Vec::new();
        for client in clients {
            times.extend(client.await.ok().flatten());
        }
        times
    });
    times.sort();
    let answered = times.len();
    ensure!(answered > 0, "no client was answered");
    let at =
        |percent: usize| times[answered * percent / 100 - usize::from(percent == 100)].as_secs_f64() * 1e3;
    let name = "1,000 clients connect at once";
    let text = format!("p50 {:.0}, p90 {:.0}, p99 {:.0} ms", at(50), at(90), at(99));
    wait_for("quiet", || server.get("/healthz").is_ok())?;
    Ok(vec![
        Row::exact(name, "answered", "1000", answered, answered == CLIENTS),
        Row::timed(name, "connect and answer", "p90 <= 100 ms", text, at(90) <= 100.0),
    ])
}
