//! Mail servers and providers that respond wrongly, slowly or not at all.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use mintage_bench::http::Connection;

use crate::{
    Row,
    cluster::Cluster,
    load::{Ask, Load, percentile},
    server::{Server, credentials},
};

struct Peer {
    port: u16,
    visits: Arc<AtomicUsize>,
}

/// A server that does one thing with each connection. Its threads live as long as the process.
fn peer(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> Result<Peer> {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    Ok(Peer { port, visits })
}

/// Reads until the client disconnects.
fn swallow(mut stream: TcpStream) {
    let mut part = [0; 4096];
    while let Ok(1..) = stream.read(&mut part) {}
}

fn says(text: &'static str) -> impl Fn(TcpStream) + Send + Sync + Clone + 'static {
    move |mut stream: TcpStream| {
        let _ = stream.write_all(text.as_bytes());
        swallow(stream);
    }
}

pub fn mail(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let silent = peer(swallow)?.port;
    let busy = peer(says("421 busy\r\n"))?.port;
    let noise = peer(says("HTTP/1.1 400 Bad Request\r\n\r\n"))?.port;
    let refused = mintage_bench::process::free_port()?;
    let mut rows = Vec::new();
    for (what, port) in
        [("is silent", silent), ("answers 421", busy), ("speaks HTTP", noise), ("refuses", refused)]
    {
        let settings = [
            ("MAIL_TRANSPORT", "smtp"),
            ("MAIL_SERVER", "127.0.0.1"),
            ("MAIL_FROM", "no-reply@example.com"),
            ("MAIL_PORT", &port.to_string()),
            ("MAIL_SECURITY", "none"),
        ];
        let server = Server::start(cluster.url(), &settings)?;
        let asks = (0..8).map(|client| register(&format!("{port}-{client}"))).collect();
        let load = Load::paced(&server.address, asks, Duration::from_millis(20));
        thread::sleep(Duration::from_millis(2500));
        let samples = load.stop();
        let name = format!("The mail server {what}, 8 clients register");
        let failed = samples.iter().filter(|one| !one.is_success()).count();
        let acknowledged = samples.len() - failed;
        let kept = cluster.number(
            "SELECT count(*) AS number FROM jobs WHERE payload::text LIKE '%' || $1 || '%'",
            &format!("{port}-"),
        )?;
        let p99 = percentile(&samples, 99);
        rows.push(Row::exact(
            &name,
            "failed; mails kept for later",
            "0; all",
            format!("{failed}; {kept} of {acknowledged}"),
            failed == 0 && usize::try_from(kept)? == acknowledged,
        ));
        rows.push(Row::timed(&name, "p99", "<= 250 ms", format!("{p99:.0} ms"), p99 <= 250.0));
    }
    Ok(rows)
}

fn register(prefix: &str) -> Ask {
    let (mut number, prefix) = (0, prefix.to_owned());
    Box::new(move |connection: &mut Connection| {
        number += 1;
        connection.post("/api/v1/auth/register", &credentials(&format!("{prefix}-{number}@example.com")))
    })
}

pub fn providers(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let silent = peer(swallow)?;
    let noise = peer(says("\0\u{1}noise"))?;
    let failing = peer(says("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"))?;
    let endless = peer(|mut stream: TcpStream| {
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        let chunk = format!("10000\r\n{}\r\n", "[".repeat(0x10000));
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    })?;
    let head = peer(|mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x-more: and more\r\n").is_ok() {}
    })?;
    let mut rows = Vec::new();
    let faults = [
        ("is silent", silent),
        ("sends noise", noise),
        ("answers 500", failing),
        ("never ends its body", endless),
        ("never ends its head", head),
    ];
    for (what, Peer { port, visits }) in faults {
        // The previous server was killed and may still hold the slot.
        cluster.execute("DELETE FROM sync_slots; DELETE FROM provider_state")?;
        let url = format!("http://127.0.0.1:{port}");
        let settings = [
            ("COINS_PROVIDERS", "coinmarketcap,coingecko,demo"),
            ("COINMARKETCAP_API_KEY", "a-key-of-this-run"),
            ("COINMARKETCAP_URL", &url),
            ("COINGECKO_URL", &url),
            ("FEAR_AND_GREED_URL", &url),
            ("SOCIAL_PROVIDERS", "mastodon"),
            ("MASTODON_URLS", &url),
            ("COINS_SYNC_INTERVAL", "2s"),
        ];
        let server = Server::start(cluster.url(), &settings)?;
        let token = server.account(&format!("reader{port}@example.com"))?.access;
        let before = Connection::open(&server.address)?.get("/api/v1/coins", &token)?.body;
        let asks = (0..4).map(|_| read(&token)).collect();
        let load = Load::paced(&server.address, asks, Duration::from_millis(5));
        thread::sleep(Duration::from_millis(3500));
        let samples = load.stop();
        ensure!(visits.load(Ordering::Relaxed) > 0, "a provider that {what} was not asked");
        let after = Connection::open(&server.address)?.get("/api/v1/coins", &token)?.body;
        let resident = mintage_bench::sys::resident_kb(server.child.id()) / 1024;
        let name = format!("A provider {what}, 4 clients read coins");
        let failed = samples.iter().filter(|one| !one.is(200)).count();
        let changed = coins_of(&before)? != coins_of(&after)?;
        let text = format!(
            "{failed} of {}; {}; {resident} MB",
            samples.len(),
            if changed { "changed" } else { "unchanged" }
        );
        rows.push(Row::exact(
            &name,
            "failed; the coins; memory",
            "0; unchanged; <= 200 MB",
            text,
            failed == 0 && !changed && resident <= 200,
        ));
        let p99 = percentile(&samples, 99);
        rows.push(Row::timed(&name, "p99", "<= 50 ms", format!("{p99:.1} ms"), p99 <= 50.0));
    }
    Ok(rows)
}

fn read(token: &str) -> Ask {
    let token = token.to_owned();
    Box::new(move |connection: &mut Connection| connection.get("/api/v1/coins", &token))
}

/// Removes fields that change with time, such as ages.
fn coins_of(body: &str) -> Result<Vec<(String, String)>> {
    let list: serde_json::Value = serde_json::from_str(body)?;
    let coins = list["data"].as_array().or_else(|| list["coins"].as_array()).cloned().unwrap_or_default();
    ensure!(!coins.is_empty(), "no coins in {body:.200}");
    Ok(coins.iter().map(|coin| (coin["slug"].to_string(), coin["price"].to_string())).collect())
}
