//! A client's connection with a deadline for the head of each request. A connection without a request ends when the
//! server closes.
//!
//! The HTTP server (actix-http 3.20) bounds the time in which the *first* request head of a connection has to arrive,
//! and the time without any byte. A client that sends one request and then a single byte of the next one would keep
//! its connection forever. Its own stop signal drops a request that has arrived but was not read yet. So that signal is
//! not used, and a connection ends only after a read has found nothing.

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

use super::shutdown::Closing;

/// Time from the first to the last byte of a request head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the first byte of a new connection while the server is closing: its request may be on the way, in
/// particular after a TLS handshake.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the task of an idle connection is woken. When its worker is late by more than a second, actix-http loses
/// the timer that ends a connection with an unread body (`TimerState::init` ignores that the timer has already fired)
/// and would wait forever.
const RECHECK: Duration = Duration::from_secs(5);

/// State that a connection shares with its requests.
#[derive(Default)]
struct Phase {
    /// A request was answered and the next one has not begun. False before the first request, for whose head
    /// actix-http has a timeout.
    between: Cell<bool>,
    /// Bytes of a request have arrived and it was not answered yet.
    begun: Cell<bool>,
    /// Set by the first byte that arrives between two requests.
    deadline: Cell<Option<Instant>>,
}

/// Marks that a request is being answered. Handlers limit the time for its body.
pub(super) struct Answering(Option<Rc<Phase>>);

impl Answering {
    pub fn begin(req: &ServiceRequest) -> Self {
        let phase = req.conn_data::<Rc<Phase>>().cloned();
        if let Some(phase) = &phase {
            phase.between.set(false);
            phase.begun.set(true);
            phase.deadline.set(None);
        }
        Self(phase)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(phase) = &self.0 {
            phase.between.set(true);
            phase.begun.set(false);
        }
    }
}

/// A stream (TCP or TLS) that reports its end when a request head takes longer than [`HEAD_TIMEOUT`], or when the
/// server is closing and no request has begun.
pub struct Connection<S, G> {
    stream: S,
    phase: Rc<Phase>,
    timer: Option<Pin<Box<Sleep>>>,
    first_byte_until: Instant,
    recheck_at: Option<Instant>,
    /// None once the server is closing.
    closing: Option<Closing>,
    /// Dropped with the stream.
    _guard: G,
}

impl<S, G> Connection<S, G> {
    pub fn new(stream: S, closing: Closing, guard: G) -> Self {
        let first_byte_until = Instant::now() + FIRST_BYTE_TIMEOUT;
        let closing = Some(closing);
        let (phase, timer, recheck_at) = Default::default();
        Self { stream, phase, timer, first_byte_until, recheck_at, closing, _guard: guard }
    }

    /// Gives the requests of this connection access to its state.
    pub fn share_phase(&self, requests: &mut Extensions) {
        requests.insert(self.phase.clone());
    }

    /// Completes at the deadline. A timer that is set for an earlier time is reset only when it fires, which is cheap
    /// for busy connections.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while Instant::now() < deadline {
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().reset(deadline);
        }
        Poll::Ready(())
    }

    /// Wakes the task after [`RECHECK`]; to be called when there was nothing to read.
    fn recheck(&mut self, cx: &mut Context<'_>) {
        if self.phase.begun.get() || !self.phase.between.get() {
            return;
        }
        let at = *self.recheck_at.get_or_insert_with(|| Instant::now() + RECHECK);
        if self.poll_deadline(cx, at).is_ready() {
            self.recheck_at = None;
            cx.waker().wake_by_ref();
        }
    }

    /// Completes when the server is closing and no request is expected. Must be polled after every read that finds
    /// nothing, so that the task is woken.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(closing) = &mut self.closing {
            ready!(closing.as_mut().poll(cx));
            self.closing = None;
        }
        match (self.phase.begun.get(), self.phase.between.get()) {
            (true, _) => Poll::Pending,
            (false, true) => Poll::Ready(()),
            (false, false) => self.poll_deadline(cx, self.first_byte_until),
        }
    }
}

impl<S: AsyncRead + Unpin, G: Unpin> AsyncRead for Connection<S, G> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(deadline) = this.phase.deadline.get()
            && this.poll_deadline(cx, deadline).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => read?,
            Poll::Pending => {
                this.recheck(cx);
                return this.poll_closed(cx).map(Ok);
            }
        }
        let phase = &this.phase;
        if buf.filled().len() > before {
            phase.begun.set(true);
            if phase.between.get() && phase.deadline.get().is_none() {
                phase.deadline.set(Some(Instant::now() + HEAD_TIMEOUT));
            }
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::{
        super::shutdown::{Shutdown, Stage},
        *,
    };

    struct Side {
        shutdown: Shutdown,
        client: DuplexStream,
        connection: Connection<DuplexStream, ()>,
    }

    impl Side {
        fn new() -> Self {
            let (shutdown, (client, server)) = (Shutdown::default(), duplex(64));
            let connection = Connection::new(server, shutdown.closing(), ());
            Self { shutdown, client, connection }
        }

        /// Returns what a read finds now: an empty text at the end, None if it has to wait.
        fn read(&mut self) -> Option<String> {
            let mut bytes = [0; 64];
            let read = self.connection.read(&mut bytes).now_or_never()?.expect("memory");
            Some(String::from_utf8_lossy(&bytes[..read]).into())
        }

        async fn send(&mut self, text: &str) {
            self.client.write_all(text.as_bytes()).await.expect("memory");
        }

        /// Does what the envelope does around a request.
        fn begin(&self) -> Answering {
            self.connection.phase.between.set(false);
            self.connection.phase.begun.set(true);
            Answering(Some(self.connection.phase.clone()))
        }
    }

    const END: Option<&str> = Some("");

    #[tokio::test(start_paused = true)]
    async fn a_connection_between_requests_ends_when_the_server_closes() {
        let mut side = Side::new();
        side.send("one").await;
        assert_eq!(side.read().as_deref(), Some("one"));
        drop(side.begin());
        for stage in [Stage::Serving, Stage::Draining] {
            side.shutdown.enter(stage);
            assert_eq!(side.read(), None, "{stage:?}");
        }
        side.shutdown.enter(Stage::Closing);
        assert_eq!(side.read().as_deref(), END);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_connection_is_woken_when_the_server_closes() {
        let mut side = Side::new();
        drop(side.begin());
        let mut bytes = [0; 64];
        let (connection, shutdown) = (&mut side.connection, &side.shutdown);
        let (read, ()) = tokio::join!(connection.read(&mut bytes), async {
            tokio::task::yield_now().await;
            shutdown.enter(Stage::Closing);
        });
        assert_eq!(read.expect("memory"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_arrived_is_read_while_the_server_closes() {
        let mut side = Side::new();
        drop(side.begin());
        side.send("two").await;
        side.shutdown.enter(Stage::Closing);
        assert_eq!(side.read().as_deref(), Some("two"));
        assert_eq!(side.read(), None, "its rest may follow");
        let answering = side.begin();
        assert_eq!(side.read(), None, "it is being answered");
        drop(answering);
        assert_eq!(side.read().as_deref(), END);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_of_an_idle_connection_is_woken_regularly() {
        let mut side = Side::new();
        drop(side.begin());
        let mut polls = 0;
        let idle = std::future::poll_fn(|cx| {
            polls += 1;
            let mut bytes = [0; 64];
            Pin::new(&mut side.connection).poll_read(cx, &mut ReadBuf::new(&mut bytes))
        });
        assert!(tokio::time::timeout(3 * RECHECK, idle).await.is_err(), "it stays open");
        assert!((5..20).contains(&polls), "{polls}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_time_for_its_first_byte() {
        let (mut used, mut unused) = (Side::new(), Side::new());
        for side in [&mut used, &mut unused] {
            side.shutdown.enter(Stage::Closing);
            assert_eq!(side.read(), None);
        }
        used.send("one").await;
        assert_eq!(used.read().as_deref(), Some("one"));
        tokio::time::advance(FIRST_BYTE_TIMEOUT).await;
        assert_eq!(used.read(), None);
        assert_eq!(unused.read().as_deref(), END);
    }
}
