//! How the server stops: on which signals, and what becomes of connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
};

use crate::{
    cli::command_line::{Server, directory, postmaster_pid},
    support::{App, Database, eventually},
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
async fn when_its_terminal_is_closed_the_server_stops_in_order() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    server.signal(Signal::SIGHUP);
    assert!(server.wait().success());
    assert!(!postmaster_pid(home.path()).exists(), "postgres was stopped with it");
}

#[tokio::test]
async fn signals_without_a_meaning_do_not_end_the_server() {
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
async fn a_kept_connection_is_served_while_the_server_drains() {
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

/// Asks until no connection can be made, and counts what was asked and not answered.
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
