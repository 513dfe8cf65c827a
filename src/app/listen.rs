//! Serves the application on a listener: connection limits, TLS, HTTP/1.1.
//!
//! `actix_web::HttpServer` does the same, but has no limit per client, does not count TLS handshakes (and stops
//! accepting while 256 of them wait), and has no deadline between two requests.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    body::MessageBody,
    dev::{AppConfig, Server, Service},
    rt,
};
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::connections::{ConnectionSlot, Connections};
use crate::{
    config::Tls,
    http::{Closing, Connection, HEAD_TIMEOUT, Shutdown},
};

const KEEP_ALIVE: Duration = Duration::from_secs(75);
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Time for the client to read the response before its connection is closed.
const CLOSE: Duration = Duration::from_secs(1);
/// Pause before the listener closes; longer than most handshakes.
const SETTLE: Duration = Duration::from_millis(50);
/// Limit for a server that is too busy to accept connections.
const MAX_SETTLE: Duration = Duration::from_secs(1);
/// Time for requests in flight when the server stops.
const FINISH_SECONDS: u64 = 30;
/// Connections that may wait to be accepted; the system lowers it to `net.core.somaxconn`. Above it, attempts are
/// dropped and repeated by clients after a second: 128 are too few when all clients reconnect at once.
#[cfg(target_os = "linux")]
const BACKLOG: i32 = 4096;
/// Time after which a connection ends if the client acknowledges nothing that is sent to it.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_mins(1);

/// Listens with a backlog of [`BACKLOG`] connections. Sets `TCP_USER_TIMEOUT` on the listener, which connections
/// inherit: a client that stops reading is disconnected, and does not keep its connection and its stream forever.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(&listener);
        // The standard library sets a backlog of 128; listening again changes only that.
        socket.listen(BACKLOG)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    }
    Ok(listener)
}

/// Closes the listener without dropping established connections.
pub(super) struct Door {
    listener: TcpListener,
    /// Each worker has a receiver, which it drops after one more turn of its event loop.
    turn: Arc<watch::Sender<()>>,
}

impl Door {
    fn new(listener: &TcpListener) -> io::Result<Self> {
        Ok(Self { listener: listener.try_clone()?, turn: Arc::default() })
    }

    /// Completes when the workers have accepted all established connections, after at most [`MAX_SETTLE`]; the listener
    /// must be closed at once then. New attempts meanwhile are neither accepted nor refused: clients repeat them after
    /// a second.
    pub async fn settle(self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = self.ignore_new() {
            tracing::debug!(%error, "cannot filter new connections; they may be reset when the listener closes");
        }
        let settled = async {
            sleep(SETTLE).await;
            while self.has_waiting() {
                sleep(SETTLE).await;
            }
            // A worker that stops drops connections that it has not handled yet.
            self.turn.send_replace(());
            self.turn.closed().await;
        };
        let _ = timeout(MAX_SETTLE, settled).await;
    }

    /// Drops the first packet of each new connection (SYN without ACK). Closing the listener resets established
    /// connections that are not accepted yet, whose clients may have sent a request. So no new one may be established
    /// before. Packets of handshakes that have begun pass.
    #[cfg(target_os = "linux")]
    fn ignore_new(&self) -> io::Result<()> {
        use socket2::SockFilter;
        const FLAGS: u32 = 13;
        const SYN: u32 = 0x02;
        const ACK: u32 = 0x10;
        // Classic BPF on the TCP header: load the flags, mask, compare, drop or pass.
        socket2::SockRef::from(&self.listener).attach_filter(&[
            SockFilter::new(0x30, 0, 0, FLAGS),
            SockFilter::new(0x54, 0, 0, SYN | ACK),
            SockFilter::new(0x15, 0, 1, SYN),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ])
    }

    fn has_waiting(&self) -> bool {
        let mut listener = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut listener, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// The parts of a server; `blocking_threads` is per worker.
pub(super) struct Serving {
    pub workers: usize,
    pub blocking_threads: usize,
    pub tls: Option<TlsAcceptor>,
    pub connections: Arc<Connections>,
    pub shutdown: Arc<Shutdown>,
}

impl Serving {
    /// Makes a server, which runs when it is awaited. Drop the [`Door`] before stopping the server: it keeps the
    /// listener open.
    pub fn start<A, I, S, B>(self, listener: TcpListener, application: A) -> Result<(Server, Door)>
    where
        A: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: fmt::Debug,
        S::Response: Into<Response<B>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
    {
        let Self { workers, blocking_threads, tls, connections, shutdown } = self;
        let builder = Server::build()
            .workers(workers)
            .worker_max_blocking_threads(blocking_threads)
            .max_concurrent_connections(connections.max_per_worker(workers))
            .shutdown_timeout(FINISH_SECONDS)
            .disable_signals();
        let name = listener.local_addr()?.to_string();
        let door = Door::new(&listener)?;
        let turn = door.turn.clone();
        // On the thread of each worker.
        let server = builder.listen(name, listener, move || {
            let mut turn = turn.subscribe();
            rt::spawn(async move {
                let _ = turn.changed().await;
                sleep(Duration::from_millis(1)).await;
            });
            let (connections, tls, shutdown) = (connections.clone(), tls.clone(), shutdown.clone());
            let application = application().into_factory().map_err(|error| error.into().error_response());
            let http = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(CLOSE)
                .on_connect_ext(|connection: &Connection<Stream, ConnectionSlot>, requests| {
                    connection.share_phase(requests);
                })
                .h1(map_config(application, |()| AppConfig::default()));
            let accept = fn_service(move |stream| {
                accept(stream, connections.clone(), tls.clone(), shutdown.closing())
            });
            accept.and_then(http.map_err(|_| ()))
        })?;
        Ok((server.run(), door))
    }
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Accepts a connection within the limits, after its TLS handshake. Others are closed, since an error drops the stream.
async fn accept(
    stream: TcpStream,
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
    closing: Closing,
) -> Result<(Connection<Stream, ConnectionSlot>, Option<SocketAddr>), ()> {
    let peer = stream.peer_addr().map_err(|_| ())?;
    let slot = connections.admit(peer.ip()).ok_or(())?;
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => Either::Right(Box::new(stream)),
            _ => return Err(()),
        },
    };
    Ok((Connection::new(stream, closing, slot), Some(peer)))
}

/// Reads the TLS files.
///
/// # Errors
/// A file cannot be read, or the key does not belong to the certificate.
pub(super) fn tls_acceptor(tls: &Tls) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable("TLS_CERT", &tls.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).with_context(|| unreadable("TLS_KEY", &tls.key))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("TLS_CERT and TLS_KEY do not belong together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

fn unreadable(name: &str, path: &Path) -> String {
    format!("{name}: {} cannot be read as PEM", path.display())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;

    #[test]
    fn a_thousand_connections_may_wait_to_be_accepted() {
        rlimit::increase_nofile_limit(4096).expect("limit of open files");
        let system = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("the system's limit");
        let most: usize = system.trim().parse().expect("a number");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A system without IPv6 cannot listen there.
            let Ok(listener) = listen(address.parse().expect("address")) else {
                assert_eq!(address, "[::1]:0");
                continue;
            };
            let address = listener.local_addr().expect("address");
            let waiting: Vec<_> = (0..most.min(1000))
                .map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("room"))
                .collect();
            drop(waiting);
        }
    }

    #[test]
    fn before_the_listener_closes_waiting_connections_are_kept_and_new_ones_are_dropped() {
        let listener = listen("127.0.0.1:0".parse().expect("address")).expect("listener");
        let door = Door::new(&listener).expect("descriptor");
        let address = listener.local_addr().expect("address");
        assert!(!door.has_waiting());
        let mut waiting = TcpStream::connect(address).expect("connection");
        door.ignore_new().expect("filter");
        assert!(door.has_waiting());
        waiting.write_all(b"request").expect("connection");
        let (mut accepted, _) = listener.accept().expect("the connection that waits");
        let mut request = [0; 7];
        accepted.read_exact(&mut request).expect("what was sent before");
        accepted.write_all(b"answer").expect("connection");
        let mut answer = [0; 6];
        waiting.read_exact(&mut answer).expect("the answer");
        assert_eq!((&request, &answer), (b"request", b"answer"));

        // The first packet has been dealt with when connecting has begun.
        let new = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
        new.set_nonblocking(true).expect("option");
        let begun = new.connect(&address.into()).expect_err("it cannot be done yet");
        assert_eq!(begun.raw_os_error(), Some(nix::errno::Errno::EINPROGRESS as i32));
        assert!(!door.has_waiting());
    }

    #[test]
    fn a_connection_whose_client_stops_reading_ends_after_a_minute() {
        let listener = listen("127.0.0.1:0".parse().expect("address")).expect("listener");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connection");
        let (accepted, _) = listener.accept().expect("connection");
        let limit = socket2::SockRef::from(&accepted).tcp_user_timeout().expect("option");
        assert_eq!(limit, Some(Duration::from_mins(1)));
    }
}
