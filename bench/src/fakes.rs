//! Stands in for the services that Mintage calls, on loopback.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// A silent stream counts as broken, so it sends something that is no post.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What a chart of 90 and of 365 days has.
const HOURS: i32 = 90 * 24;
const DAYS: i32 = 365;

/// Answers as CoinGecko, with so many coins and the past of each. Returns its URL.
pub fn coingecko(coins: usize) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let answer = move |target: &str| match target.split_once("/market_chart?") {
        Some((_, query)) if query.contains("days=90") => chart(TimeDelta::hours(1), HOURS),
        Some(_) => chart(TimeDelta::days(1), DAYS),
        None => markets(coins),
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, answer));
        }
    });
    Ok(url)
}

/// Answers the requests of a connection until it ends.
fn serve(stream: TcpStream, answer: impl Fn(&str) -> Value) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let target = line.split(' ').nth(1).context("no target")?.to_owned();
        while line.trim() != "" {
            line.clear();
            stream.read_line(&mut line)?;
        }
        let body = answer(&target).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        stream.get_mut().write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
    }
}

/// The name of a coin has two words, so that its hashtag means it alone.
fn name_of(coin: usize) -> String {
    let letter = |number: usize| char::from(b'a' + u8::try_from(number % 26).expect("a letter"));
    format!("Sample Q{}{}", letter(coin / 26), letter(coin))
}

/// The hashtag that means a coin.
pub fn hashtag_of(coin: usize) -> String {
    format!("#{}", name_of(coin).to_lowercase().replace(' ', ""))
}

fn markets(coins: usize) -> Value {
    let now = now();
    let row = |coin: usize| {
        let price = 1000.0 / (coin as f64 + 1.0) + now.timestamp_subsec_millis() as f64 / 1e4;
        json!({
            "id": format!("sample-{coin}"), "symbol": format!("q{coin}"), "name": name_of(coin),
            "image": format!("https://coin-images.coingecko.com/coins/images/{coin}/large/sample.png"),
            "current_price": price, "market_cap": price * 1e7, "market_cap_rank": coin + 1,
            "total_volume": price * 1e5, "high_24h": price * 1.05, "low_24h": price * 0.95,
            "price_change_percentage_24h": 1.25, "circulating_supply": 1e7, "max_supply": 2e7,
            "ath": price * 3.0, "ath_date": "2025-10-06T18:57:42.558Z", "last_updated": text_of(now),
            "price_change_percentage_1h_in_currency": -0.3, "price_change_percentage_24h_in_currency": 1.25,
            "price_change_percentage_7d_in_currency": 4.5, "price_change_percentage_30d_in_currency": -7.25,
        })
    };
    (0..coins).map(row).collect()
}

fn chart(length: TimeDelta, count: i32) -> Value {
    let now = now();
    let column = |factor: f64| -> Value {
        let point = |ago: i32| {
            let value = f64::from(ago % 97).mul_add(0.013, 1.0) * factor;
            json!([(now - length * ago).timestamp_millis(), value])
        };
        (0..=count).rev().map(point).collect()
    };
    json!({"prices": column(17.25), "market_caps": column(1.7e9), "total_volumes": column(3.1e7)})
}

/// The clock of the services.
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn text_of(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A stream of posts like Bluesky's Jetstream. It has one reader at a time.
pub struct Jetstream {
    pub url: String,
    messages: Sender<String>,
    has_reader: Arc<AtomicBool>,
}

impl Jetstream {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("ws://{}", listener.local_addr()?);
        let (messages, waiting) = mpsc::channel();
        let has_reader = Arc::new(AtomicBool::new(false));
        let state = has_reader.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Ok(socket) = tungstenite::accept(stream) {
                    state.store(true, Ordering::Relaxed);
                    let _ = send(socket, &waiting);
                    state.store(false, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { url, messages, has_reader })
    }

    pub fn has_reader(&self) -> bool {
        self.has_reader.load(Ordering::Relaxed)
    }

    /// Sends a post by an author of its own.
    pub fn post(&self, number: usize, text: &str) -> Result<()> {
        let now = now();
        let message = json!({
            "did": format!("did:plc:{number:024}"), "time_us": now.timestamp_micros(), "kind": "commit",
            "commit": {
                "rev": "3m5xkabcdef2a", "operation": "create", "collection": "app.bsky.feed.post",
                "rkey": format!("{number:013}"),
                "record": {
                    "$type": "app.bsky.feed.post", "createdAt": text_of(now), "langs": ["en"], "text": text,
                },
                "cid": "bafyreixfzaqh5xqyxgo6buoe5t2hicct7hgpiy5x2j2g72rcxn44pxgxwd",
            },
        });
        Ok(self.messages.send(message.to_string())?)
    }
}

/// Sends what is waiting until the reader is gone.
fn send(mut socket: WebSocket<TcpStream>, waiting: &Receiver<String>) -> Result<()> {
    loop {
        match waiting.recv_timeout(HEARTBEAT) {
            Ok(message) => socket.write(Message::text(message))?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                let now = now().timestamp_micros();
                let message = json!({"did": "did:plc:x", "time_us": now, "kind": "identity"});
                socket.send(Message::text(message.to_string()))?;
            }
        }
    }
}

/// Returns the texts of so many posts about each coin, in turns: no coin has two that are alike.
pub fn posts(coins: usize, each: usize) -> Result<Vec<String>> {
    let file = fs::read_to_string("tests/fixtures/crypto_posts.tsv").context("run at the root")?;
    let lines: Vec<&str> = file.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    let line = |number: usize| lines[number % lines.len()];
    let text = |coin: usize, post: usize| {
        format!("{}. {} {}", line(post + coin), line(7 * post + 13 * coin + 200), hashtag_of(coin))
    };
    Ok((0..each)
        .flat_map(|post| (0..coins).map(move |coin| (coin, post)))
        .map(|(coin, post)| text(coin, post))
        .collect())
}
