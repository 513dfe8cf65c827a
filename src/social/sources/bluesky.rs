//! Bluesky by Jetstream, a public stream of all posts; no key.
//!
//! Source: github.com/bluesky-social/jetstream. Bluesky asks not to use its search for this, and
//! offers the stream instead. One replica follows it: the right to is a row with a lease, and each
//! write checks that it still is ours. Events carry their time, which is also the place to go on
//! after a break, so that nothing is missed or (ids are unique) counted twice. Posts wait in
//! memory for at most [`FLUSH`].

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, StatusCode, Upgraded, header};
use serde::Deserialize;
use tokio::time;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use super::super::{
    collect::{Collector, names},
    matcher::Matcher,
    post::{self, Post},
    queries::query_for,
    store,
};
use crate::{
    config::SocialProvider,
    http::Problem,
    upstream::{Advice, Failure, jitter},
};

const SOURCE: &str = "bluesky";
const COLLECTION: &str = "app.bsky.feed.post";
/// A post has 300 characters; what surrounds it may have more.
const LARGEST_EVENT: usize = 256 * 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The stream has dozens of posts a second: a silent one is broken.
const SILENCE: Duration = Duration::from_mins(1);
const FLUSH: Duration = Duration::from_secs(5);
/// Posts that may wait to be written.
const WAITING: usize = 2000;
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How often a replica looks whether it may follow.
const LOOK: Duration = Duration::from_secs(5);
/// What came before is not replayed, so it is not asked for.
const REPLAYED: TimeDelta = TimeDelta::hours(24);
/// Which coins there are may change.
const SESSION: Duration = Duration::from_mins(30);
const LONGEST_BACK_OFF: Duration = Duration::from_mins(1);

/// The coins as they are listened for.
struct Ears {
    matcher: Matcher,
    names: HashMap<i64, HashSet<String>>,
}

/// What was heard and is not written down yet.
#[derive(Default)]
struct Heard {
    posts: HashMap<i64, Vec<Post>>,
    count: usize,
    /// Time of the newest event in microseconds.
    newest: Option<i64>,
}

/// Why a session ended.
enum End {
    /// To look again who may follow, and for which coins.
    Planned,
    Broken(Failure),
}

impl Collector {
    /// Follows the stream, on one replica at a time, until the task is aborted.
    pub async fn listen(&self) {
        if !self.settings.providers.contains(&SocialProvider::Bluesky) {
            return;
        }
        let http = Client::builder()
            .connect_timeout(HANDSHAKE)
            .user_agent(concat!("mintage/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("the settings are constants");
        let mut failures = 0;
        loop {
            let wait = match self.session(&http).await {
                Ok(End::Planned) => {
                    failures = 0;
                    LOOK
                }
                Ok(End::Broken(failure)) => {
                    failures += 1;
                    if let Err(problem) = self.failed(SOURCE, failure, false).await {
                        tracing::debug!(%problem, "the failure is not written down");
                    }
                    (Duration::from_secs(1) * 2u32.pow(failures.min(6))).min(LONGEST_BACK_OFF)
                }
                Err(problem) => {
                    tracing::warn!(%problem, "Bluesky has to wait");
                    LOOK
                }
            };
            time::sleep(wait + jitter(wait)).await;
        }
    }

    /// Lets another replica follow at once.
    pub async fn release(&self) {
        let (holder, now) = (self.holder, self.clock.now());
        let released =
            self.db.run(move |conn| Ok::<_, Problem>(store::release_stream(conn, SOURCE, holder, now)?));
        if let Err(problem) = released.await {
            tracing::debug!(%problem, "the stream is left to its lease");
        }
    }

    async fn session(&self, http: &Client) -> Result<End, Problem> {
        let (holder, now) = (self.holder, self.clock.now());
        let held = self
            .db
            .tx(move |conn| {
                let held = store::hold_stream(conn, SOURCE, holder, now, now + LEASE)?;
                Ok::<_, Problem>(held.zip(Some(store::targets(conn)?)))
            })
            .await?;
        let Some((cursor, targets)) = held else {
            return Ok(End::Planned);
        };
        let queries: Vec<_> =
            targets.iter().map(|target| (target, query_for(target, &self.queries))).collect();
        let ears = Ears {
            matcher: Matcher::new(queries.iter().map(|(target, query)| (target.id, query))),
            names: queries.iter().map(|(target, query)| (target.id, names(target, query))).collect(),
        };
        let cursor = cursor.filter(|cursor| moment(*cursor).is_some_and(|at| now - at < REPLAYED));
        let begin = Instant::now();
        let late = || Failure::new(Advice::BackOff, "no answer in time");
        let connected = time::timeout(HANDSHAKE, connect(http, &self.settings.bluesky_url, cursor)).await;
        let connected = connected.unwrap_or_else(|_| Err(late()));
        self.outcomes.count(SOURCE, connected.is_ok(), begin.elapsed());
        let stream = match connected {
            Ok(stream) => stream,
            Err(failure) => return Ok(End::Broken(failure)),
        };
        self.succeeded(SOURCE, None).await?;
        self.follow(stream, &ears, cursor).await
    }

    async fn follow(
        &self,
        mut stream: WebSocketStream<Upgraded>,
        ears: &Ears,
        cursor: Option<i64>,
    ) -> Result<End, Problem> {
        let mut contiguous_from = cursor.and_then(moment);
        let mut heard = Heard::default();
        let mut flush = time::interval(FLUSH);
        let end = time::sleep(SESSION);
        let silence = time::sleep(SILENCE);
        tokio::pin!(end, silence);
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        silence.as_mut().reset(time::Instant::now() + SILENCE);
                        heard.note(&text, ears);
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(broken("the stream ended")),
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return Ok(broken("the connection broke")),
                },
                _ = flush.tick() => {
                    if !self.write_down(&mut heard, ears, &mut contiguous_from).await? {
                        return Ok(End::Planned);
                    }
                    // Answers to pings wait for a write.
                    if stream.flush().await.is_err() {
                        return Ok(broken("the connection broke"));
                    }
                }
                () = &mut silence => return Ok(broken("the stream fell silent")),
                () = &mut end => {
                    self.write_down(&mut heard, ears, &mut contiguous_from).await?;
                    return Ok(End::Planned);
                }
            }
            if heard.count >= WAITING && !self.write_down(&mut heard, ears, &mut contiguous_from).await? {
                return Ok(End::Planned);
            }
        }
    }

    /// False when another replica has taken over.
    async fn write_down(
        &self,
        heard: &mut Heard,
        ears: &Ears,
        contiguous_from: &mut Option<DateTime<Utc>>,
    ) -> Result<bool, Problem> {
        let (holder, now) = (self.holder, self.clock.now());
        let Heard { posts, newest, .. } = std::mem::take(heard);
        let newest = newest.map(|newest| newest.min(now.timestamp_micros()));
        let scored: Vec<_> = posts
            .into_iter()
            .map(|(coin, posts)| {
                let names: Vec<&str> = ears.names[&coin].iter().map(String::as_str).collect();
                (coin, post::score(posts, coin, &names, &self.fingerprints, now))
            })
            .collect();
        let coins: Vec<i64> = ears.names.keys().copied().collect();
        let until = newest.and_then(moment);
        let from = contiguous_from.or(until);
        let held = self
            .db
            .tx(move |conn| {
                if !store::advance_stream(conn, SOURCE, holder, newest, now + LEASE)? {
                    return Ok::<_, Problem>(false);
                }
                for (coin, posts) in &scored {
                    store::save_posts(conn, SOURCE, *coin, posts)?;
                }
                if let (Some(from), Some(until)) = (from, until) {
                    store::cover(conn, SOURCE, &coins, from, until)?;
                }
                Ok(true)
            })
            .await?;
        *contiguous_from = until.or(*contiguous_from);
        Ok(held)
    }
}

impl Heard {
    fn note(&mut self, text: &str, ears: &Ears) {
        let Ok(event) = serde_json::from_str::<Event>(text) else {
            return;
        };
        self.newest = self.newest.max(Some(event.time_us));
        let Some(post) = event.post() else {
            return;
        };
        for coin in ears.matcher.coins(&post.text) {
            self.posts.entry(coin).or_default().push(post.clone());
            self.count += 1;
        }
    }
}

fn broken(why: &str) -> End {
    End::Broken(Failure::new(Advice::BackOff, why))
}

fn moment(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

/// A websocket (RFC 6455) over a connection that reqwest opens, with the TLS of every other call.
async fn connect(
    http: &Client,
    url: &str,
    cursor: Option<i64>,
) -> Result<WebSocketStream<Upgraded>, Failure> {
    let fault = |what: &str| Failure::new(Advice::BackOff, what);
    // http for ws, https for wss.
    let url = url.replacen("ws", "http", 1);
    let key = generate_key();
    let mut request = http
        .get(format!("{url}/subscribe"))
        .query(&[("wantedCollections", COLLECTION)])
        .query(&[("maxMessageSizeBytes", LARGEST_EVENT)])
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    if let Some(cursor) = cursor {
        request = request.query(&[("cursor", cursor)]);
    }
    let response = request.send().await.map_err(|_| fault("cannot be reached"))?;
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).and_then(|value| value.to_str().ok());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(fault(&format!("HTTP {}", response.status().as_u16())));
    }
    if accepted != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(fault("the other side does not speak websocket"));
    }
    let connection = response.upgrade().await.map_err(|_| fault("the connection broke"))?;
    let config =
        WebSocketConfig::default().max_message_size(Some(LARGEST_EVENT)).max_frame_size(Some(LARGEST_EVENT));
    Ok(WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await)
}

#[derive(Deserialize)]
struct Event {
    did: String,
    time_us: i64,
    commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    operation: String,
    collection: String,
    rkey: String,
    record: Option<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "createdAt")]
    created_at: String,
    #[serde(default)]
    langs: Vec<String>,
    text: String,
}

impl Event {
    fn post(self) -> Option<Post> {
        let Commit { operation, collection, rkey, record } = self.commit?;
        if operation != "create" || collection != COLLECTION {
            return None;
        }
        let record = record?;
        let received = moment(self.time_us)?;
        // The author's clock says when it was written; it may be wrong, but not in the future.
        let at = post::time(&record.created_at).map_or(received, |at| at.min(received));
        let english = |tag: &&String| tag.split('-').next() == Some("en");
        let language = record.langs.iter().find(english).or(record.langs.first()).cloned();
        let id = format!("at://{}/{collection}/{rkey}", self.did);
        Some(Post { id, author: self.did, at, language, text: record.text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../tests/fixtures/jetstream_event.json");

    fn read(event: &str) -> Option<Post> {
        serde_json::from_str::<Event>(event).ok()?.post()
    }

    #[test]
    fn an_event_becomes_a_post() {
        let post = read(EVENT).expect("a post");
        assert_eq!(post.id, "at://did:plc:4cxifsu2lmixrkq6svh5ejoz/app.bsky.feed.post/3m5xk00000092a");
        assert_eq!((post.text.as_str(), post.language.as_deref()), ("buying the dip #Bitcoin", Some("en")));
        assert_eq!(Some(post.at), post::time("2026-11-20T09:59:58Z"));
    }

    #[test]
    fn a_time_in_the_future_is_when_it_was_received() {
        let ahead = read(&EVENT.replace("2026-11-20T09:59:58.000Z", "2040-01-01T00:00:00Z")).expect("a post");
        assert_eq!(Some(ahead.at), moment(1_795_168_798_000_000));
        let odd = read(&EVENT.replace("2026-11-20T09:59:58.000Z", "yesterday")).expect("a post");
        assert_eq!(odd.at, ahead.at);
    }

    #[test]
    fn what_is_no_new_post_is_left_out() {
        for other in [
            EVENT.replace("\"create\"", "\"update\""),
            EVENT.replace("\"create\"", "\"delete\""),
            EVENT.replace("\"collection\": \"app.bsky.feed.post\"", "\"collection\": \"app.bsky.feed.like\""),
            r#"{"did":"did:plc:x","time_us":1,"kind":"identity","identity":{}}"#.into(),
            r#"{"did":"did:plc:x","time_us":9223372036854775807,"commit":{"operation":"create","collection":"app.bsky.feed.post","rkey":"x","record":{"createdAt":"x","text":"y"}}}"#.into(),
            "{}".into(),
            "[]".into(),
            String::new(),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
