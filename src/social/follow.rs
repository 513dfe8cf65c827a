//! Follows the streams of posts, each on one replica at a time.
//!
//! The right to follow a stream is a row with a lease, and each write checks that this replica still holds it. The time of
//! an event is also the cursor to continue from after a break, so no post is missed. None is counted twice, since stored
//! posts are unique. Posts are in memory for at most [`FLUSH_INTERVAL`] before they are stored.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt, future::join_all};
use reqwest::{Client, Upgraded};
use tokio::time;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{
    collect::{Collector, QUERIED, names},
    kept::{PostsOfCoins, save_posts},
    matcher::Matcher,
    post::{self, Post},
    queries::{Target, queries_for},
    sources::{Event, Stream},
    store::{self, Hold},
    websocket,
};
use crate::{
    db::{CoinId, DbError},
    upstream::{Advice, Failure, jitter},
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream has dozens of posts a second, so a silent one is broken.
const MAX_SILENCE: Duration = Duration::from_mins(1);
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// Posts in memory; more are stored at once.
const MAX_BUFFERED: usize = 2000;
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How often a replica tries to get the lease.
const LEASE_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Services do not replay older events, so an older cursor is not sent.
const MAX_REPLAY: TimeDelta = TimeDelta::hours(24);
/// A session ends after this time, so that the next one reads the coins again, which may have changed.
const MAX_SESSION: Duration = Duration::from_mins(30);
const MAX_BACK_OFF: Duration = Duration::from_mins(1);

/// Finds the coins that a post is about.
struct Filter {
    matcher: Matcher,
    names: HashMap<CoinId, HashSet<String>>,
}

/// Posts about coins that are not stored yet.
#[derive(Default)]
struct Buffer {
    posts: HashMap<CoinId, Vec<Post>>,
    count: usize,
    /// Time of the newest event in microseconds of Unix time.
    newest: Option<i64>,
}

/// The reason why a session ended, other than an error of the database.
enum End {
    /// Another replica has the lease, there are no coins yet, or the session is over.
    Planned,
    Broken(Failure),
}

impl Collector {
    /// Follows all streams until the task is aborted.
    pub async fn follow_streams(&self) {
        if self.streams.is_empty() {
            return;
        }
        let http = Client::builder()
            .connect_timeout(HANDSHAKE_TIMEOUT)
            .user_agent(concat!("mintage/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("constant settings");
        join_all(self.streams.iter().map(|stream| self.follow(stream, &http))).await;
    }

    /// Releases the leases, so that another replica can follow at once.
    pub async fn release(&self) {
        let (holder, now) = (self.holder, self.clock.now());
        for name in self.streams.iter().map(|stream| stream.name).chain([QUERIED]) {
            let released = self.db.query(move |conn| store::release_stream(conn, name, holder, now));
            if let Err(error) = released.await {
                tracing::debug!(%error, source = name, "cannot release the lease of a stream; it will expire");
            }
        }
    }

    async fn follow(&self, stream: &Stream, http: &Client) {
        let mut failures = 0;
        loop {
            let wait = match self.session(stream, http).await {
                Ok(End::Planned) => {
                    failures = 0;
                    LEASE_CHECK_INTERVAL
                }
                Ok(End::Broken(failure)) => {
                    failures += 1;
                    if let Err(error) = self.failed(stream.name, failure, false).await {
                        tracing::debug!(%error, source = stream.name, "cannot record the failure of a stream");
                    }
                    (Duration::from_secs(1) * 2u32.pow(failures.min(6))).min(MAX_BACK_OFF)
                }
                Err(error) => {
                    tracing::warn!(%error, source = stream.name, "cannot follow the stream; it will be retried");
                    LEASE_CHECK_INTERVAL
                }
            };
            time::sleep(wait + jitter(wait)).await;
        }
    }

    async fn session(&self, stream: &Stream, http: &Client) -> Result<End, DbError> {
        let (name, holder, now) = (stream.name, self.holder, self.clock.now());
        let read_targets = self.read_targets;
        let held =
            self.db.query_tx(move |conn| match store::hold_stream(conn, name, holder, now, now + LEASE)? {
                Hold::Ours(cursor) => Ok(Some((cursor, read_targets(conn, false)?))),
                Hold::Theirs => Ok(None),
            });
        let Some((cursor, targets)) = held.await?.filter(|(_, targets)| !targets.is_empty()) else {
            return Ok(End::Planned);
        };
        let filter = self.filter(&targets);
        let cursor = cursor.filter(|cursor| time_of(*cursor).is_some_and(|at| now - at < MAX_REPLAY));
        let begin = Instant::now();
        let connected = time::timeout(HANDSHAKE_TIMEOUT, subscribe(stream, http, cursor)).await;
        let connected = connected.unwrap_or_else(|_| Err(Failure::new(Advice::BackOff, "no answer in time")));
        self.upstream.outcomes().count(name, connected.is_ok(), begin.elapsed());
        let socket = match connected {
            Ok(socket) => socket,
            Err(failure) => return Ok(End::Broken(failure)),
        };
        self.succeeded(name, None).await?;
        self.receive(stream, socket, &filter, cursor).await
    }

    fn filter(&self, targets: &[Target]) -> Filter {
        let queries = queries_for(targets, &self.queries);
        Filter {
            matcher: Matcher::new(queries.iter().map(|(target, query)| (target.id, query))),
            names: queries.iter().map(|(target, query)| (target.id, names(target, query))).collect(),
        }
    }

    async fn receive(
        &self,
        stream: &Stream,
        mut socket: WebSocketStream<Upgraded>,
        filter: &Filter,
        cursor: Option<i64>,
    ) -> Result<End, DbError> {
        let mut contiguous_from = cursor.and_then(time_of);
        let mut buffer = Buffer::default();
        let mut flush = time::interval(FLUSH_INTERVAL);
        let end = time::sleep(MAX_SESSION);
        let silence = time::sleep(MAX_SILENCE);
        tokio::pin!(end, silence);
        loop {
            let mut is_due = false;
            let mut is_over = false;
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        silence.as_mut().reset(time::Instant::now() + MAX_SILENCE);
                        if let Some(event) = (stream.decode)(&text) {
                            buffer.add(event, filter);
                        }
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(broken("the stream ended")),
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return Ok(broken("the connection broke")),
                },
                _ = flush.tick() => is_due = true,
                () = &mut silence => return Ok(broken("no message for a minute")),
                () = &mut end => is_over = true,
            }
            if (is_due || is_over || buffer.count >= MAX_BUFFERED)
                && !self.store(stream, &mut buffer, filter, &mut contiguous_from).await?
            {
                return Ok(End::Planned);
            }
            if is_over {
                return Ok(End::Planned);
            }
            // Answers to pings are sent with the next flush.
            if is_due && socket.flush().await.is_err() {
                return Ok(broken("the connection broke"));
            }
        }
    }

    /// Stores the posts and the cursor, and renews the lease; false if another replica has it.
    async fn store(
        &self,
        stream: &Stream,
        buffer: &mut Buffer,
        filter: &Filter,
        contiguous_from: &mut Option<DateTime<Utc>>,
    ) -> Result<bool, DbError> {
        let (name, holder, now) = (stream.name, self.holder, self.clock.now());
        let Buffer { posts, newest, .. } = std::mem::take(buffer);
        let newest = newest.map(|newest| newest.min(now.timestamp_micros()));
        let scored: PostsOfCoins = posts
            .into_iter()
            .map(|(coin, posts)| {
                let names: Vec<&str> = filter.names[&coin].iter().map(String::as_str).collect();
                (coin, post::score(posts, coin, &names, &self.fingerprints, now))
            })
            .collect();
        let coins: Vec<CoinId> = filter.names.keys().copied().collect();
        let until = newest.and_then(time_of);
        let from = contiguous_from.or(until);
        let held = self.db.query_tx(move |conn| {
            if !store::advance_stream(conn, name, holder, newest, now + LEASE)? {
                return Ok(false);
            }
            save_posts(conn, name, &scored)?;
            if let (Some(from), Some(until)) = (from, until) {
                store::cover(conn, name, &coins, from, until)?;
            }
            Ok(true)
        });
        let held = held.await?;
        *contiguous_from = until.or(*contiguous_from);
        Ok(held)
    }
}

impl Buffer {
    fn add(&mut self, event: Event, filter: &Filter) {
        self.newest = self.newest.max(Some(event.micros));
        let Some(post) = event.post else {
            return;
        };
        for coin in filter.matcher.coins(&post.text) {
            self.posts.entry(coin).or_default().push(post.clone());
            self.count += 1;
        }
    }
}

fn broken(why: &str) -> End {
    End::Broken(Failure::new(Advice::BackOff, why))
}

fn time_of(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

async fn subscribe(
    stream: &Stream,
    http: &Client,
    cursor: Option<i64>,
) -> Result<WebSocketStream<Upgraded>, Failure> {
    // reqwest knows http for ws, and https for wss.
    let mut request = http.get(stream.url.replacen("ws", "http", 1));
    if let Some(cursor) = cursor {
        request = request.query(&[(stream.cursor_parameter, cursor)]);
    }
    websocket::connect(request, stream.max_message_size).await
}
