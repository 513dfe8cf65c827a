//! Stopping the server: signals, requests in flight and connections.

use std::{
    io::{Read, Write},
    net::{self, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
};

use crate::support::{
    App, Database, PASSWORD,
    binary::{BOUND, Server, directory, postmaster_pid},
    eventually,
};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

fn address(base: &str) -> SocketAddr {
    base.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The whole answer to a request on this connection; none when the connection ends before.
async fn ask(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(REQUEST).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = stream.read_buf(&mut answer).await.ok()?;
        (read > 0).then_some(())?;
    }
    Some(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn closing_its_terminal_stops_the_server_gracefully() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    server.signal(Signal::SIGHUP);
    assert!(server.wait().success());
    assert!(!postmaster_pid(home.path()).exists(), "postgres was stopped with it");
}

#[tokio::test]
async fn other_signals_do_not_stop_the_server() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose())]);
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE] {
        server.signal(signal);
        server.client().get("/readyz").await.assert(200);
    }
    assert!(server.stop().success());
}

#[tokio::test]
async fn a_keep_alive_connection_is_served_while_the_server_drains() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose()), ("DRAIN_DELAY", "5m")]);
    let mut kept = TcpStream::connect(address(&server.base)).await.unwrap();
    let before = ask(&mut kept).await.unwrap();
    assert!(before.starts_with("HTTP/1.1 200") && !before.contains("connection: close"), "{before}");
    server.signal(Signal::SIGTERM);
    let client = server.client();
    eventually("draining", async || client.get("/readyz").await.status == 503).await;
    let last = ask(&mut kept).await.unwrap();
    assert!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close"), "{last}");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

/// Sends requests until no connection can be opened, and counts those without an answer.
async fn keep_asking(
    address: SocketAddr,
    keeps: bool,
    answered: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
) {
    while let Ok(mut stream) = TcpStream::connect(address).await {
        loop {
            let Some(answer) = ask(&mut stream).await else {
                dropped.fetch_add(1, Ordering::Relaxed);
                break;
            };
            answered.fetch_add(1, Ordering::Relaxed);
            if !keeps || answer.contains("connection: close") {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_dropped_when_the_server_stops() {
    let app = App::with(&[("DRAIN_DELAY", "1s")]);
    let (answered, dropped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for number in 0..16 {
        let keeps = number % 2 == 0;
        clients.spawn(keep_asking(address(&app.base), keeps, answered.clone(), dropped.clone()));
    }
    eventually("load", async || answered.load(Ordering::Relaxed) > 500).await;
    spawn_blocking(move || drop(app)).await.unwrap();
    clients.join_all().await;
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_second_signal_stops_the_server_at_once() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose()), ("DRAIN_DELAY", "5m")]);
    server.signal(Signal::SIGTERM);
    let client = server.client();
    eventually("draining", async || client.get("/readyz").await.status == 503).await;
    server.signal(Signal::SIGINT);
    assert!(server.wait().success());
}

#[tokio::test]
async fn sigterm_lets_a_request_in_flight_finish() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose())]);
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let head = format!(
        "POST /api/v1/auth/register HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut request = net::TcpStream::connect(&address).unwrap();
    request.set_read_timeout(Some(BOUND)).unwrap();
    request.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    request.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"), "it waits for the body");
    server.signal(Signal::SIGTERM);
    eventually("the listener's end", async || net::TcpStream::connect(&address).is_err()).await;
    request.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(server.wait().success());
}

#[tokio::test]
async fn draining_is_reported_as_not_ready_before_the_listener_closes() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose()), ("DRAIN_DELAY", "10s")]);
    let client = server.client();
    client.get("/readyz").await.assert(200);
    server.signal(Signal::SIGTERM);
    eventually("not ready", async || {
        let answer = client.get("/readyz").await;
        answer.status == 503 && answer.header("connection") == "close"
    })
    .await;
    assert!(server.wait().success());
}
