//! Sources of posts on this machine: bodies with current times, and a stream.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast, task::JoinHandle};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{Message, handshake::server},
};

use super::{
    Client, eventually,
    market::{COINS, fresh},
    noon,
    upstream::{Reply, Upstream},
};

pub async fn market() -> Upstream {
    Upstream::start(vec![fresh("cmc_v3_listings_latest_gbp")]).await
}

pub fn minutes_ago(minutes: i64) -> DateTime<Utc> {
    noon().now() - TimeDelta::minutes(minutes)
}

/// A post of Mastodon; the higher the number, the newer.
pub fn status(number: u32, minutes: i64, text: &str) -> Value {
    let mut status: Vec<Value> =
        serde_json::from_str(include_str!("../../fixtures/mastodon_tag_timeline.json")).expect("fixture");
    let mut status = status.swap_remove(0);
    status["id"] = format!("1176481{number:011}").into();
    status["uri"] = format!("https://mastodon.example/statuses/{number}").into();
    status["created_at"] = minutes_ago(minutes).to_rfc3339().into();
    status["account"]["url"] = format!("https://mastodon.example/@user{number}").into();
    status["content"] = format!("<p>{text}</p>").into();
    status
}

/// A text with other words around it for each number below 400, so that it is no duplicate. It is too short to be similar
/// to others if `text` has fewer than eight words.
pub fn remark(number: u32, text: &str) -> String {
    const BEFORE: [&str; 20] = [
        "today",
        "sunday",
        "again",
        "look",
        "listen",
        "monday",
        "tuesday",
        "yesterday",
        "lately",
        "obviously",
        "apparently",
        "actually",
        "basically",
        "somehow",
        "meanwhile",
        "anyway",
        "moreover",
        "tonight",
        "currently",
        "usually",
    ];
    const AFTER: [&str; 20] = [
        "folks",
        "everyone",
        "people",
        "neighbours",
        "lads",
        "colleagues",
        "readers",
        "students",
        "drivers",
        "teachers",
        "writers",
        "cooks",
        "farmers",
        "sailors",
        "painters",
        "tourists",
        "gardeners",
        "bakers",
        "lawyers",
        "dentists",
    ];
    let (before, after) = (number as usize % 20, number as usize / 20 % 20);
    format!("{} {text} {}", BEFORE[before], AFTER[after])
}

pub fn timeline(statuses: &[Value]) -> Reply {
    Reply::Http(200, "", json!(statuses).to_string().into_bytes())
}

/// A Jetstream server whose events a test sends.
pub struct Jetstream {
    pub url: String,
    /// The addresses that were requested.
    pub requested: Arc<Mutex<Vec<String>>>,
    pub listeners: Arc<AtomicUsize>,
    events: broadcast::Sender<Option<String>>,
    task: JoinHandle<()>,
}

impl Jetstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("ws://{}", listener.local_addr().expect("address"));
        let (events, _) = broadcast::channel::<Option<String>>(1000);
        let requested: Arc<Mutex<Vec<String>>> = Arc::default();
        let listeners = Arc::new(AtomicUsize::new(0));
        let (log, count, voice) = (requested.clone(), listeners.clone(), events.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, count, mut events) = (log.clone(), count.clone(), voice.subscribe());
                tokio::spawn(async move {
                    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
                    let note = |request: &server::Request, response: server::Response| {
                        log.lock().expect("lock").push(request.uri().to_string());
                        Ok(response)
                    };
                    let Ok(mut socket) = accept_hdr_async(stream, note).await else {
                        return;
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                    loop {
                        tokio::select! {
                            event = events.recv() => match event {
                                Ok(Some(event)) => _ = socket.send(Message::text(event)).await,
                                _ => break,
                            },
                            message = socket.next() => if !matches!(message, Some(Ok(_))) { break },
                        }
                    }
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, requested, listeners, events, task }
    }

    /// Sends a post with the current time to every listener.
    pub fn say(&self, number: u32, text: &str) {
        let mut event: Value =
            serde_json::from_str(include_str!("../../fixtures/jetstream_event.json")).expect("fixture");
        let now = minutes_ago(0);
        event["did"] = format!("did:plc:{number}").into();
        event["time_us"] = now.timestamp_micros().into();
        event["commit"]["rkey"] = format!("post{number}").into();
        event["commit"]["record"]["createdAt"] = now.to_rfc3339().into();
        event["commit"]["record"]["text"] = text.into();
        self.say_raw(&event.to_string());
    }

    pub fn say_raw(&self, text: &str) {
        let _ = self.events.send(Some(text.to_owned()));
    }

    pub fn hang_up(&self) {
        let _ = self.events.send(None);
    }

    pub fn listeners(&self) -> usize {
        self.listeners.load(Ordering::SeqCst)
    }

    pub fn addresses(&self) -> Vec<String> {
        self.requested.lock().expect("lock").clone()
    }
}

impl Drop for Jetstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until the social figures of a coin are as wanted, and returns them.
pub async fn coin(client: &Client, symbol: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    eventually("the wanted coin", async || {
        let body = client.get(COINS).await.assert(200).json();
        let coins = body["data"].as_array().unwrap();
        // The list of the first sync may have other coins than the demonstration.
        let Some(one) = coins.iter().find(|coin| coin["symbol"] == symbol) else { return false };
        found = one["social"].clone();
        wanted(&found)
    })
    .await;
    found
}

/// The name of the instance in the API.
pub fn name_of(instance: &Upstream) -> String {
    format!("mastodon:{}", instance.url.trim_start_matches("http://"))
}

/// A Mastodon instance whose timelines are empty unless a test says otherwise.
pub async fn silent() -> Upstream {
    Upstream::start(vec![timeline(&[])]).await
}

pub fn mastodon(instance: &Upstream) -> [(&'static str, &str); 2] {
    [("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", &instance.url)]
}

pub fn near(value: &Value, wanted: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - wanted).abs() < 1e-3 * wanted.abs().max(1.0))
}

pub fn x<'a>(upstream: &'a Upstream, budget: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("SOCIAL_PROVIDERS", "x"),
        ("X_BEARER_TOKEN", "the-token-of-the-test"),
        ("X_URL", &upstream.url),
        ("X_DAILY_POST_BUDGET", budget),
    ]
}

/// The timeline of bitcoin.
pub const BITCOIN: &str = "/api/v1/timelines/tag/bitcoin?";
pub const SEARCH: &str = "/2/tweets/search/recent?";
pub const COUNTS: &str = "/2/tweets/counts/recent?";
pub const SPENT: &str = "SELECT used::bigint AS count FROM provider_state WHERE provider = 'x'";

/// A page of posts as of now.
pub fn tweets(number: usize) -> Reply {
    let data: Vec<_> = (0..number)
        .map(|one| {
            let at = minutes_ago(i64::try_from(one).unwrap());
            let id = (at.timestamp_millis() - 1_288_834_974_657) << 22;
            json!({"id": id.to_string(), "text": remark(u32::try_from(one).unwrap(), "Bitcoin is great"), "lang": "en",
                "created_at": at.to_rfc3339(), "author_id": one.to_string(), "edit_history_tweet_ids": [id.to_string()]})
        })
        .collect();
    let body =
        json!({"data": data, "meta": {"newest_id": data[0]["id"], "oldest_id": "1", "result_count": number}});
    Reply::Http(200, "", body.to_string().into_bytes())
}

/// The first source as an admin sees it.
pub async fn source(admin: &Client) -> Value {
    admin.get("/api/v1/admin/sync").await.assert(200).json()["social"][0].clone()
}

/// The same body with a lone surrogate, which is not valid in JSON, for each XXX.
pub fn broken(reply: &Reply) -> Reply {
    let Reply::Http(status, headers, body) = reply else {
        panic!("it has no text");
    };
    let body = String::from_utf8(body.clone()).unwrap().replace("XXX", r"\ud83d");
    Reply::Http(*status, headers, body.into_bytes())
}
