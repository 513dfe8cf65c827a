//! Every new snapshot as a Server-Sent Event (WHATWG HTML, section 9.2).
//!
//! The bytes of an event belong to the answer in memory and are shared by all streams, so one that is sent late says
//! how old its data is. A stream waits on a `watch` channel, which holds the version of the newest snapshot only, so a
//! slow reader skips what it missed and buffers nothing. Several times a minute each stream looks whether its token is
//! still good.
//!
//! When the server stops, streams go on for the drain delay and end when the listener is closed: their clients connect
//! again at once, and would else come back to this server, or all go to the others before a balancer has noticed.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, get,
    http::header,
    web::{Bytes, Data},
};
use futures_util::stream;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::{sync::watch, time};
use utoipa::IntoParams;
use validator::Validate;

use super::view::{Version, View};
use crate::{
    db::UserId,
    http::{Closing, Envelope, Problem, Query, kind},
    tokens::{CurrentUser, Uncounted},
};

/// Streams on this server: half of what `MAX_CONNECTIONS` is by default, so that other requests find a connection.
/// Where fewer connections are allowed, that limit comes first.
const MAX_STREAMS: usize = 5000;
const MAX_STREAMS_PER_USER: usize = 20;
/// How often a stream looks whether its token is still good.
const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream that could not be written to for so long is over.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
const RETRY_SECONDS: u64 = 5;

/// The streams that are open on this server.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<UserId, usize>>);

/// One open stream.
struct StreamSlot {
    streams: Arc<Streams>,
    user: UserId,
}

impl Streams {
    fn acquire(self: Arc<Self>, user: UserId, limit: usize) -> Result<StreamSlot, Problem> {
        let mut open = self.0.lock();
        let own = open.get(&user).copied().unwrap_or_default();
        if own >= MAX_STREAMS_PER_USER {
            let detail = format!("an account may have {MAX_STREAMS_PER_USER} streams open");
            return Err(Problem::new(&kind::TOO_MANY_REQUESTS).detail(detail).retry_after(RETRY_SECONDS));
        }
        if open.values().sum::<usize>() >= limit {
            return Err(Problem::new(&kind::OVERLOADED).retry_after(RETRY_SECONDS));
        }
        open.insert(user, own + 1);
        drop(open);
        Ok(StreamSlot { streams: self, user })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock();
        if let Some(own) = open.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.user);
            }
        }
    }
}

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamCoins {
    /// ISO 4217 code of the amounts, one of the configured; the first of them by default.
    #[param(min_length = 3, max_length = 3)]
    currency: Option<String>,
}

/// Follow the coins
///
/// Server-Sent Events: at once and after each sync an event `snapshot` with the body of `GET /coins` at that time, and a
/// comment every 15 seconds. When the posts about the coins are read later than the prices, a second event of the same
/// sync brings them. An event is sent once: when no other comes and the data becomes `stale`, no event says so, its
/// `as_of` does. With `Last-Event-ID` the newest event comes at once only if it has another `id`. The stream ends when
/// the token expires, the session ends or the server stops: get a new token if it has expired, and connect again.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = [])),
    params(
        StreamCoins,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that arrived.")
    ),
    responses(
        (status = 200, description = "Events until the token expires.", body = String, content_type = "text/event-stream",
            example = "retry: 5000\n\nid: 17\nevent: snapshot\ndata: {\"as_of\":\"2026-11-20T10:00:00Z\",…}\n\n"),
        (status = 429, description = "`too-many-requests`: 20 streams of this account are open."),
        (status = 503, description = "`unavailable`, `overloaded`: too many streams are open.")
    )
)]
#[get("/coins/stream")]
pub async fn stream_coins(
    req: HttpRequest,
    me: CurrentUser,
    query: Query<StreamCoins>,
    view: Data<View>,
    streams: Data<Streams>,
    envelope: Data<Envelope>,
) -> Result<HttpResponse, Problem> {
    let currency = query.0.currency;
    let newest = view.newest(currency.as_deref())?;
    let slot = streams.into_inner().acquire(me.id, MAX_STREAMS)?;
    let last = req.headers().get("last-event-id");
    let last =
        (*newest.borrow()).filter(|newest| last.is_some_and(|last| last == newest.to_string().as_str()));
    let reader = Reader {
        view,
        currency,
        newest,
        last,
        started: false,
        written_at: Instant::now(),
        req,
        closing: envelope.shutdown.closing(),
        _slot: slot,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // For nginx: pass events on as they come.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::unfold(reader, Reader::next)))
}

struct Reader {
    view: Data<View>,
    currency: Option<String>,
    newest: watch::Receiver<Option<Version>>,
    /// What was sent last.
    last: Option<Version>,
    started: bool,
    written_at: Instant,
    /// Holds the token.
    req: HttpRequest,
    closing: Closing,
    _slot: StreamSlot,
}

impl Reader {
    /// What is to be written next; None at the end.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !std::mem::replace(&mut self.started, true) {
            return self.write(Bytes::from(format!("retry: {}\n\n", RETRY_SECONDS * 1000)));
        }
        // It is called again when there is room: so it waited for the reader.
        if self.written_at.elapsed() > WRITE_TIMEOUT {
            return None;
        }
        loop {
            if Uncounted::extract(&self.req).await.is_err() {
                return None;
            }
            let newest = *self.newest.borrow_and_update();
            if newest.is_some()
                && newest != self.last
                && let Ok(current) = self.view.current(self.currency.as_deref())
            {
                self.last = Some(current.version);
                return self.write(current.event.clone());
            }
            if self.written_at.elapsed() >= HEARTBEAT {
                return self.write(Bytes::from_static(b":\n\n"));
            }
            tokio::select! {
                () = &mut self.closing => return None,
                // The sender lives as long as the server, so an error is only the time that is up.
                _ = time::timeout(TOKEN_CHECK_INTERVAL, self.newest.changed()) => {}
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what the stream wants")]
    fn write(mut self, bytes: Bytes) -> Option<(Result<Bytes, Infallible>, Self)> {
        self.written_at = Instant::now();
        Some((Ok(bytes), self))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let streams = Arc::new(Streams::default());
        let (ada, bob) = (UserId(Uuid::now_v7()), UserId(Uuid::now_v7()));
        let acquire = |user, limit| streams.clone().acquire(user, limit);
        let code = |result: Result<StreamSlot, Problem>| result.err().map(|problem| problem.kind().code);
        let slot = |result: Result<StreamSlot, Problem>| result.unwrap_or_else(|problem| panic!("{problem}"));
        let own: Vec<_> = (0..MAX_STREAMS_PER_USER).map(|_| slot(acquire(ada, MAX_STREAMS))).collect();
        assert_eq!(code(acquire(ada, MAX_STREAMS)), Some("too-many-requests"));
        assert_eq!(code(acquire(bob, MAX_STREAMS_PER_USER)), Some("overloaded"));
        let of_bob = slot(acquire(bob, MAX_STREAMS_PER_USER + 1));
        drop(own);
        drop(of_bob);
        assert!(streams.0.lock().is_empty());
    }
}
