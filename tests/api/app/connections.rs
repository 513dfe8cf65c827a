//! Limits of connections: deadlines, their number, and the share of one network.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{
    App, Client, Database, PASSWORD,
    binary::{Server, directory},
    eventually,
};

/// Shorter than the time that a connection may be idle, which is 75 seconds.
const SOON: Duration = Duration::from_mins(1);
const HEAD: &str = "HTTP/1.1\r\nhost: x\r\n";

fn address(base: &str) -> SocketAddr {
    let (_, address) = base.split_once("://").unwrap();
    address.split('/').next().unwrap().parse().unwrap()
}

async fn connect_from(source: &str, base: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(address(base)).await.unwrap()
}

/// Everything that arrives until the server ends the connection; None when it does not.
async fn rest(stream: &mut TcpStream, within: Duration) -> Option<String> {
    let mut answer = Vec::new();
    // A server that refuses what it has not read to the end may reset the connection.
    time::timeout(within, stream.read_to_end(&mut answer)).await.ok()?.ok();
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether the server answers on this connection and keeps it open.
async fn answers(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    if stream.write_all(format!("GET /healthz {HEAD}\r\n").as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        match time::timeout(SOON, stream.read_buf(&mut answer)).await.expect("an answer or the end") {
            Ok(read) if read > 0 => {}
            _ => return false,
        }
    }
    answer.starts_with(b"HTTP/1.1 200")
}

fn chunked(request: &str, headers: &str, body: &str) -> String {
    format!("{request} {HEAD}transfer-encoding: chunked\r\n{headers}\r\n{body}")
}

/// Requests whose bodies never end, by the status of their answer.
fn endless() -> Vec<(u16, String)> {
    let json = "content-type: application/json\r\n";
    let large = format!("{:x}\r\n{}\r\n5\r\nab", 70_000, "x".repeat(70_000));
    let healthz = format!("GET /healthz {HEAD}\r\n");
    vec![
        (404, chunked("POST /x", "", "5\r\nab")),
        (404, chunked("POST /x", "connection: close\r\n", "5\r\nab")),
        (404, chunked("POST /x", "", "")),
        (404, chunked("POST /x", "", "0\r\n")),
        (404, chunked("POST /x", "", "0\r\nx: y\r\n")),
        (404, chunked("POST /x", "", "5;x=y\r\nabcde\r\n")),
        (404, chunked("POST /x", "connection: upgrade\r\nupgrade: websocket\r\n", "5\r\nab")),
        (404, chunked("DELETE /x", "", "5\r\nab")),
        (404, chunked("HEAD /x", "", "5\r\nab")),
        (200, chunked("GET /healthz", "", "5\r\nab")),
        (200, chunked("HEAD /healthz", "", "5\r\nab")),
        (204, chunked("OPTIONS /api/v1/coins", "", "5\r\nab")),
        (200, chunked("GET /openapi.json", "", "5\r\nab")),
        (308, chunked("GET /apidocs", "", "5\r\nab")),
        (401, chunked("GET /api/v1/user", "", "5\r\nab")),
        (401, chunked("PATCH /api/v1/user", json, "5\r\nab")),
        (405, chunked("PUT /api/v1/auth/login", json, "5\r\nab")),
        (415, chunked("POST /api/v1/auth/login", "", "5\r\nab")),
        (413, chunked("POST /api/v1/auth/login", json, &large)),
        (408, chunked("POST /api/v1/auth/login", json, "5\r\nab")),
        (200, healthz + &chunked("POST /x", "", "5\r\nab")),
    ]
}

#[tokio::test]
async fn a_connection_with_a_body_that_never_ends_is_closed_after_the_answer() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    let metrics = app.metrics.clone().unwrap();
    let on_metrics = ["GET /metrics", "POST /metrics", "GET /x"].map(|request| {
        let status = if request == "GET /x" { 404 } else { 200 };
        (metrics.clone(), status, chunked(request, "", "5\r\nab"))
    });
    let on_api = endless().into_iter().map(|(status, request)| (app.base.clone(), status, request));
    let mut open = JoinSet::new();
    for (base, status, request) in on_api.chain(on_metrics) {
        // What comes with the head, and what comes after the answer has begun.
        for more in [&b""[..], b"cde\r\n5\r\nabc"] {
            let (base, request) = (base.clone(), request.clone());
            open.spawn(async move {
                let mut stream = connect_from("127.0.0.1", &base).await;
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut begin = [0; 12];
                stream.read_exact(&mut begin).await.unwrap();
                let _ = stream.write_all(more).await;
                let answer = rest(&mut stream, SOON).await;
                let line = request.lines().next().unwrap();
                let answer = answer.unwrap_or_else(|| panic!("{line}: the connection stays open"));
                let begin = String::from_utf8_lossy(&begin).into_owned();
                if line != "POST /metrics HTTP/1.1" {
                    assert_eq!(begin, format!("HTTP/1.1 {status}"), "{request}: {answer}");
                }
            });
        }
    }
    while let Some(ended) = open.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_keeps_sending_its_body_is_disconnected() {
    let app = App::start();
    let mut senders = JoinSet::new();
    for request in [chunked("POST /x", "", ""), chunked("GET /healthz", "connection: close\r\n", "")] {
        let mut stream = connect_from("127.0.0.1", &app.base).await;
        senders.spawn(async move {
            stream.write_all(request.as_bytes()).await.unwrap();
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            // Until the server reads no more.
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        });
    }
    let all = async { while let Some(Ok(())) = senders.join_next().await {} };
    time::timeout(SOON, all).await.expect("the server takes no more");
}

#[tokio::test]
async fn a_chunked_body_that_was_read_keeps_the_connection() {
    let app = App::start();
    let mut stream = connect_from("127.0.0.1", &app.base).await;
    for name in ["ada", "bob"] {
        let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD}).to_string();
        let (first, second) = body.split_at(10);
        let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
        let request = chunked("POST /api/v1/auth/register", "content-type: application/json\r\n", &chunks);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n{") || !answer.ends_with('}') {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "the connection was closed after: {answer}");
            answer += &String::from_utf8_lossy(&bytes[..read]);
        }
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    // Requests that arrive together are answered one after the other.
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let login = chunked("POST /api/v1/auth/login", "content-type: application/json\r\n", &chunks);
    let last = format!("GET /healthz {HEAD}connection: close\r\n\r\n");
    stream.write_all([login.as_str(), &login, &last].concat().as_bytes()).await.unwrap();
    let answers = rest(&mut stream, SOON).await.expect("the end");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
}

#[tokio::test]
async fn an_incomplete_second_request_head_times_out() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    let mut open = JoinSet::new();
    for base in [&app.base, app.metrics.as_ref().unwrap()] {
        for begun in ["G", "GET /healthz HTTP/1.1\r\nhost: x\r\n", "\r\n", "\r\n\r\n"] {
            let base = base.clone();
            open.spawn(async move {
                let mut stream = connect_from("127.0.0.1", &base).await;
                stream.write_all(format!("GET / {HEAD}\r\n").as_bytes()).await.unwrap();
                let mut first = [0; 4096];
                assert_ne!(stream.read(&mut first).await.unwrap(), 0, "an answer");
                stream.write_all(begun.as_bytes()).await.unwrap();
                assert!(rest(&mut stream, SOON).await.is_some(), "{begun:?}: the connection stays open");
            });
        }
    }
    while let Some(ended) = open.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_slow_request_head_within_the_deadline_is_answered() {
    let app = App::start();
    let mut stream = connect_from("127.0.0.1", &app.base).await;
    for _ in 0..3 {
        for part in ["G", "ET /healthz ", HEAD] {
            stream.write_all(part.as_bytes()).await.unwrap();
            // The client is slow on purpose.
            time::sleep(Duration::from_millis(100)).await;
        }
        stream.write_all(b"\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    }
}

/// The log of a server, with its file.
fn log_file(home: &std::path::Path) -> (Stdio, std::path::PathBuf) {
    let path = home.join("log");
    (fs::File::create(&path).unwrap().into(), path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_endless_bodies_than_there_are_descriptors_do_not_stop_the_server() {
    rlimit::increase_nofile_limit(4096).unwrap();
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let (log, path) = log_file(home.path());
    let server = Server::start_limited(1024, log, home.path(), &[("DATABASE_URL", url.expose())]);
    let mut open = Vec::new();
    for _ in 0..1100 {
        let mut stream = connect_from("127.0.0.1", &server.base).await;
        // Above the limit of connections it is closed at once.
        let _ = stream.write_all(chunked("POST /x", "connection: close\r\n", "5\r\nab").as_bytes()).await;
        open.push(stream);
    }
    eventually("a place", async || answers(&mut connect_from("127.0.0.1", &server.base).await).await).await;
    for stream in &mut open {
        rest(stream, SOON).await.expect("the server ends all of them");
    }
    let log = fs::read_to_string(path).unwrap();
    assert!(log.contains("MAX_CONNECTIONS was lowered"), "{log}");
    assert!(!log.contains("Too many open files") && log.matches("refused connections").count() <= 1, "{log}");
}

async fn metric(app: &App, sample: &str) -> u64 {
    let text = reqwest::get(app.metrics.as_ref().unwrap()).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_until_others_end() {
    let app = App::with(&[("MAX_CONNECTIONS", "16"), ("METRICS_BIND", "127.0.0.1:0")]);
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = connect_from("127.0.0.1", &app.base).await;
        assert!(answers(&mut stream).await);
        held.push(stream);
    }
    for source in ["127.0.0.1", "127.0.0.2"] {
        let mut refused = connect_from(source, &app.base).await;
        assert_eq!(rest(&mut refused, SOON).await.as_deref(), Some(""), "closed without an answer");
    }
    assert_eq!(metric(&app, "mintage_connections").await, 16);
    assert_eq!(metric(&app, "mintage_connections_max").await, 16);
    assert_eq!(metric(&app, "mintage_connections_refused_total{limit=\"all\"}").await, 2);
    assert!(answers(held.last_mut().unwrap()).await, "those that are open are served");
    held.truncate(8);
    eventually("the places", async || metric(&app, "mintage_connections").await == 8).await;
    for _ in 0..8 {
        let mut stream = connect_from("127.0.0.1", &app.base).await;
        assert!(answers(&mut stream).await);
        held.push(stream);
    }
    drop(held);
    eventually("all places", async || metric(&app, "mintage_connections").await == 0).await;
    Client::new(&app.base).get("/healthz").await.assert(200);
}

#[tokio::test]
async fn one_client_network_cannot_take_all_connections() {
    let settings = [("MAX_CONNECTIONS", "40"), ("METRICS_BIND", "127.0.0.1:0"), ("RATE_LIMITS", "on")];
    let app = App::with(&settings);
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut stream = connect_from("127.0.0.2", &app.base).await;
        assert!(answers(&mut stream).await, "a quarter is for one network");
        held.push(stream);
    }
    for _ in 0..30 {
        let mut refused = connect_from("127.0.0.2", &app.base).await;
        assert_eq!(rest(&mut refused, SOON).await.as_deref(), Some(""));
    }
    assert!(answers(&mut connect_from("127.0.0.1", &app.base).await).await, "others are served");
    assert_eq!(metric(&app, "mintage_connections_refused_total{limit=\"network\"}").await, 30);
    assert_eq!(metric(&app, "mintage_connections_refused_total{limit=\"all\"}").await, 0);

    let trusting = app.replica_with(&[("TRUSTED_PROXIES", "127.0.0.2/32")]);
    let off = app.replica_with(&[("RATE_LIMITS", "off")]);
    let own = app.replica_with(&[("MAX_CONNECTIONS_PER_NETWORK", "12")]);
    for (app, most) in [(trusting, 40), (off, 40), (own, 12)] {
        let mut held = Vec::new();
        loop {
            let mut stream = connect_from("127.0.0.2", &app.base).await;
            if !answers(&mut stream).await {
                break;
            }
            held.push(stream);
        }
        assert_eq!(held.len(), most);
    }
}

/// Connects as a client that trusts the server's certificate.
struct Tls {
    connector: TlsConnector,
    home: tempfile::TempDir,
}

impl Tls {
    fn new() -> Self {
        let home = directory();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(home.path().join("cert.pem"), pair.cert.pem()).unwrap();
        fs::write(home.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { connector: std::sync::Arc::new(config).into(), home }
    }

    fn app(&self, settings: &[(&str, &str)]) -> App {
        let path = |name: &str| self.home.path().join(name).to_str().unwrap().to_owned();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let tls = [("TLS_CERT", cert.as_str()), ("TLS_KEY", key.as_str()), ("METRICS_BIND", "127.0.0.1:0")];
        App::with(&[&tls, settings].concat())
    }

    /// None when the server ends the connection instead.
    async fn connect(&self, app: &App) -> Option<TlsStream<TcpStream>> {
        let stream = connect_from("127.0.0.1", &app.base).await;
        self.connector.connect("localhost".try_into().unwrap(), stream).await.ok()
    }
}

#[tokio::test]
async fn the_deadlines_of_connections_hold_over_tls() {
    let tls = Tls::new();
    let app = tls.app(&[]);
    let healthz = format!("GET /healthz {HEAD}\r\n");
    for (first, second) in [(chunked("POST /x", "", "5\r\nab"), ""), (healthz, "G")] {
        let mut stream = tls.connect(&app).await.expect("a handshake");
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        assert_ne!(stream.read(&mut answer).await.unwrap(), 0);
        stream.write_all(second.as_bytes()).await.unwrap();
        let ended = time::timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{first}: the connection stays open");
    }
    eventually("the places", async || metric(&app, "mintage_connections").await == 0).await;
}

#[tokio::test]
async fn a_tls_connection_counts_from_before_its_handshake_until_its_end() {
    let tls = Tls::new();
    let app = tls.app(&[("MAX_CONNECTIONS", "16")]);
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = tls.connect(&app).await.expect("a handshake");
        assert!(answers(&mut stream).await);
        held.push(stream);
    }
    assert!(tls.connect(&app).await.is_none(), "there is no place");
    assert!(answers(&mut held[0]).await, "those that are open are served");
    drop(held);
    eventually("the places", async || metric(&app, "mintage_connections").await == 0).await;
    // Handshakes that do not begin.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect_from("127.0.0.1", &app.base).await);
    }
    let refused = "mintage_connections_refused_total{limit=\"all\"}";
    eventually("refusals", async || metric(&app, refused).await > 1).await;
    for stream in &mut silent {
        assert_eq!(rest(stream, SOON).await.as_deref(), Some(""), "it is ended without an answer");
    }
    eventually("the places", async || metric(&app, "mintage_connections").await == 0).await;
    assert!(tls.connect(&app).await.is_some());
}

#[tokio::test]
async fn hundreds_of_silent_tls_handshakes_do_not_keep_others_waiting() {
    let tls = Tls::new();
    let app = tls.app(&[("WORKERS", "1")]);
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect_from("127.0.0.1", &app.base).await);
    }
    let mut stream = tls.connect(&app).await.expect("a handshake");
    stream.write_all(format!("GET /healthz {HEAD}connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let mut first = [0; 1];
    let waiting = |stream: &TcpStream| stream.try_read(&mut first).is_err();
    assert!(silent.iter().any(waiting), "they still waited when it was answered");
}
