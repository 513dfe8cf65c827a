//! A client's connection: what comes between two requests has a deadline.
//!
//! The HTTP server (actix-http 3.20) bounds the time in which the *first* request head of a connection has to arrive,
//! and the time without any byte. A client that sends one request and then a single byte of the next one would keep
//! its connection for good.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::dev::{Extensions, ServiceRequest};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long a request head may take to arrive, from its first byte to its last.
pub const READ_HEAD: Duration = Duration::from_secs(5);

/// What the connection and the requests on it both know.
#[derive(Default)]
struct Phase {
    /// A request was answered and the next one has not begun. False before the first request, whose head the server
    /// bounds itself.
    between: Cell<bool>,
    /// Set by the first byte that arrives between two requests.
    deadline: Cell<Option<Instant>>,
}

/// A request is being answered while this lives; its handler bounds the time of its body.
pub(super) struct Answering(Option<Rc<Phase>>);

impl Answering {
    pub fn begin(req: &ServiceRequest) -> Self {
        let phase = req.conn_data::<Rc<Phase>>().cloned();
        if let Some(phase) = &phase {
            phase.between.set(false);
            phase.deadline.set(None);
        }
        Self(phase)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(phase) = &self.0 {
            phase.between.set(true);
        }
    }
}

/// A stream (TCP or TLS) that counts as ended by the client when a request head takes longer than [`READ_HEAD`].
pub struct Connection<S, G> {
    stream: S,
    phase: Rc<Phase>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Lives as long as the stream.
    _guard: G,
}

impl<S, G> Connection<S, G> {
    pub fn new(stream: S, guard: G) -> Self {
        Self { stream, phase: Rc::default(), timer: None, _guard: guard }
    }

    /// Lets the requests of this connection tell it when they are answered.
    pub fn introduce(&self, requests: &mut Extensions) {
        requests.insert(self.phase.clone());
    }

    /// Completes at the deadline. The timer may have been set for an earlier one: it is set again only when it fires,
    /// so that a busy connection does not touch it.
    fn poll_late(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while Instant::now() < deadline {
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().reset(deadline);
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin, G: Unpin> AsyncRead for Connection<S, G> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(deadline) = this.phase.deadline.get()
            && this.poll_late(cx, deadline).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let phase = &this.phase;
        if buf.filled().len() > before && phase.between.get() && phase.deadline.get().is_none() {
            phase.deadline.set(Some(Instant::now() + READ_HEAD));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, G: Unpin> AsyncWrite for Connection<S, G> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
