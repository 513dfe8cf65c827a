//! Sends every new snapshot as a Server-Sent Event (WHATWG HTML, section 9.2).
//!
//! All streams share the bytes of the newest event, which the view renews as its data ages. A stream waits on a `watch`
//! channel that holds only the version of the newest snapshot, so a slow client skips snapshots and nothing is buffered
//! for it. Each stream checks every two seconds that its token is still valid.
//!
//! When the server stops, streams continue for the drain delay and end when the listener is closed, because clients
//! reconnect at once. If streams ended earlier, clients would reconnect to this server.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse, get,
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
    tokens::{Allowed, api_keys::CoinsRead, is_still_allowed},
};

/// On this server. Half of the default of `MAX_CONNECTIONS`, so that other requests find a connection; a lower setting
/// takes effect before this limit.
const MAX_STREAMS: usize = 5000;
const MAX_STREAMS_PER_USER: usize = 20;
const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends if its client reads nothing for this long.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
const RETRY_SECONDS: u64 = 5;

/// An event as it is sent, for the documentation.
const EXAMPLE: &str = concat!(
    "retry: 5000\n\nid: 17\nevent: snapshot\ndata: ",
    r#"{"as_of":"2026-11-20T09:30:00Z","source":"coinmarketcap","simulated":false,"#,
    r#""attribution":"Data provided by CoinMarketCap (https://coinmarketcap.com)","currency":"GBP","stale":false,"#,
    r#""next_update_at":"2026-11-20T09:35:10Z","#,
    r#""social_sources":[{"name":"mastodon:mastodon.social","state":"heard","last_heard_at":"2026-11-20T09:29:40Z"}],"#,
    r#""data":[{"id":1,"symbol":"BTC","name":"Bitcoin","slug":"bitcoin","rank":1,"price":70211.4421,"#,
    r#""volume_24h":112536391040.63,"volume_change_24h":-37.9991,"percent_change_1h":-0.67,"#,
    r#""percent_change_24h":-3.88,"percent_change_7d":7.09,"percent_change_30d":10.6,"market_cap":1400804910814.55,"circulating_supply":19951234.0,"max_supply":21000000.0,"#,
    r#""high_24h":71615.67,"low_24h":68105.1,"ath":98296.02,"ath_at":"2025-10-06T18:57:42Z","#,
    r#""image":"https://s2.coinmarketcap.com/static/img/coins/64x64/1.png","tags":["mineable","pow"],"#,
    r#""updated_at":"2026-11-20T09:29:12Z","#,
    r#""quote":{"currency":"GBP","#,
    r#""price":70211.4421,"volume_24h":112536391040.63,"volume_change_24h":-37.9991,"percent_change_1h":-0.67,"#,
    r#""percent_change_24h":-3.88,"percent_change_7d":7.09,"#,
    r#""percent_change_30d":10.6,"market_cap":1400804910814.55,"high_24h":71615.67,"low_24h":68105.1,"#,
    r#""ath":98296.02,"ath_at":"2025-10-06T18:57:42Z"},"social":null}]}"#,
    "\n\n"
);

/// Counts the open streams of each user on this server.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<UserId, usize>>);

/// One open stream; dropping it makes room for another.
struct StreamSlot {
    streams: Arc<Streams>,
    user: UserId,
}

impl Streams {
    fn acquire(self: Arc<Self>, user: UserId, limit: usize) -> Result<StreamSlot, Problem> {
        let mut open = self.0.lock();
        let own = open.get(&user).copied().unwrap_or_default();
        if own >= MAX_STREAMS_PER_USER {
            let detail = format!("an account may have at most {MAX_STREAMS_PER_USER} open streams");
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
    /// ISO 4217 code of the amounts: one of the configured currencies, by default the first.
    #[param(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "GBP")]
    currency: Option<String>,
    /// Whether to send only what has changed, after a first complete event.
    #[serde(default)]
    #[param(value_type = Option<bool>, example = true)]
    delta: bool,
}

/// Follow the coins
///
/// Sends Server-Sent Events: an event `snapshot` at once and after each sync, with the body of `GET /coins` at that time,
/// and a comment every 15 seconds. If posts are read later than prices, a second event of the same sync adds them. No
/// event is sent when a snapshot becomes `stale`: compare `as_of` with the time. With `Last-Event-ID`, the newest event is
/// sent at once only if its `id` differs.
///
/// With `delta=true`, the first event is `snapshot`, and later ones are `delta`: `data` has the coins that have changed, each
/// with its `id` and the members that differ (all members of a new coin), `removed` the ids of coins that have left the
/// list, and `base` the `id` of the event to which this applies. If a client has missed an event, it gets a `snapshot` again.
///
/// The stream ends when the token expires, the session ends or the server stops:
/// refresh the token if it has expired, and reconnect.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        StreamCoins,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event the client received.")
    ),
    responses(
        (status = 200, description = "Events until the token expires.", body = String, content_type = "text/event-stream",
            example = json!(EXAMPLE)),
        (status = 429, description = "`too-many-requests`: the account has 20 open streams, the maximum."),
        (status = 503, description = "`unavailable`, `overloaded`: too many streams are open.")
    )
)]
#[get("/coins/stream")]
pub async fn stream_coins(
    req: HttpRequest,
    me: Allowed<CoinsRead>,
    query: Query<StreamCoins>,
    view: Data<View>,
    streams: Data<Streams>,
    envelope: Data<Envelope>,
) -> Result<HttpResponse, Problem> {
    let StreamCoins { currency, delta } = query.0;
    view.current(currency.as_deref())?;
    let newest = view.newest(currency.as_deref())?;
    let slot = streams.into_inner().acquire(me.id, MAX_STREAMS)?;
    let last = req.headers().get("last-event-id");
    let last =
        (*newest.borrow()).filter(|newest| last.is_some_and(|last| last == newest.to_string().as_str()));
    let reader = Reader {
        view,
        currency,
        delta,
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
        // nginx then passes events on without buffering.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::unfold(reader, Reader::next)))
}

struct Reader {
    view: Data<View>,
    currency: Option<String>,
    /// Whether the client wants changes.
    delta: bool,
    newest: watch::Receiver<Option<Version>>,
    /// The version that was sent last.
    last: Option<Version>,
    started: bool,
    written_at: Instant,
    /// Holds the token, for the checks.
    req: HttpRequest,
    closing: Closing,
    _slot: StreamSlot,
}

impl Reader {
    /// Waits for the next bytes to write; None ends the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !std::mem::replace(&mut self.started, true) {
            return self.write(Bytes::from(format!("retry: {}\n\n", RETRY_SECONDS * 1000)));
        }
        // This is called again when there is room in the buffer, so the time since the last write is the client's.
        if self.written_at.elapsed() > WRITE_TIMEOUT {
            return None;
        }
        loop {
            if !is_still_allowed::<CoinsRead>(&self.req).await {
                return None;
            }
            let newest = *self.newest.borrow_and_update();
            if newest.is_some()
                && newest != self.last
                && let Ok(current) = self.view.current(self.currency.as_deref())
            {
                let base = self.last.replace(current.version).filter(|_| self.delta);
                let changes = base.and_then(|base| current.since(base));
                return self.write(changes.unwrap_or(&current.event).clone());
            }
            if self.written_at.elapsed() >= HEARTBEAT {
                return self.write(Bytes::from_static(b":\n\n"));
            }
            tokio::select! {
                () = &mut self.closing => return None,
                // The sender lives as long as the server, so the only error is the timeout.
                _ = time::timeout(TOKEN_CHECK_INTERVAL, self.newest.changed()) => {}
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of `unfold`")]
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
    fn slots_are_bounded_and_returned() {
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
