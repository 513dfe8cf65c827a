//! From a listener to the application: which connections are taken, TLS, HTTP/1.1.
//!
//! `actix_web::HttpServer` does the same, but accepts without a limit of its own per client, counts no TLS handshakes
//! (and stops accepting when 256 of them wait), and knows no deadline between two requests.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    body::MessageBody,
    dev::{AppConfig, Server, Service},
};
use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::connections::{Connections, Place};
use crate::{
    config::Tls,
    http::{Connection, READ_HEAD},
};

const KEEP_ALIVE: Duration = Duration::from_secs(75);
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long a connection that is being closed may take, so that the client can still read the answer.
const CLOSE: Duration = Duration::from_secs(1);
/// Requests that are in flight when it stops get this long.
const FINISH_SECONDS: u64 = 30;
/// Connections that may wait to be accepted; the system lowers it to `net.core.somaxconn`. When it is full, a client's
/// attempt is dropped and repeated after a second: 128 are too few when the clients of a server reconnect at once.
#[cfg(target_os = "linux")]
const BACKLOG: i32 = 4096;
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_mins(1);

/// Listens with a backlog of [`BACKLOG`] connections. Connections inherit from the listener how long they may take
/// nothing of what is sent to them: a client that reads no further would else keep its connection, and its place among
/// the streams, for ever.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(&listener);
        // The standard library listens with a backlog of 128; listening again changes only that.
        socket.listen(BACKLOG)?;
        socket.set_tcp_user_timeout(Some(UNREAD))?;
    }
    Ok(listener)
}

/// What serves; `blocking_threads` is per worker.
pub(super) struct Serving {
    pub workers: usize,
    pub blocking_threads: usize,
    pub tls: Option<TlsAcceptor>,
    pub connections: Arc<Connections>,
}

impl Serving {
    /// Runs when it is awaited.
    pub fn start<A, I, S, B>(self, listener: TcpListener, application: A) -> Result<Server>
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
        let Self { workers, blocking_threads, tls, connections } = self;
        let builder = Server::build()
            .workers(workers)
            .worker_max_blocking_threads(blocking_threads)
            .max_concurrent_connections(connections.most_of_worker(workers))
            .shutdown_timeout(FINISH_SECONDS)
            .disable_signals();
        let stopping = builder.graceful_shutdown_signal();
        let name = listener.local_addr()?.to_string();
        let server = builder.listen(name, listener, move || {
            let (connections, tls, stopping) = (connections.clone(), tls.clone(), stopping.clone());
            let application = application().into_factory().map_err(|error| error.into().error_response());
            let http = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(READ_HEAD)
                .client_disconnect_timeout(CLOSE)
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .on_connect_ext(|connection: &Connection<Stream, Place>, requests| {
                    connection.introduce(requests);
                })
                .h1(map_config(application, |()| AppConfig::default()));
            let accept = fn_service(move |stream| accept(stream, connections.clone(), tls.clone()));
            accept.and_then(http.map_err(|_| ()))
        })?;
        Ok(server.run())
    }
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection with a place, after its TLS handshake. The others are closed, since an error drops the stream.
async fn accept(
    stream: TcpStream,
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
) -> Result<(Connection<Stream, Place>, Option<SocketAddr>), ()> {
    let peer = stream.peer_addr().map_err(|_| ())?;
    let place = connections.admit(peer.ip()).ok_or(())?;
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => Either::Right(Box::new(stream)),
            _ => return Err(()),
        },
    };
    Ok((Connection::new(stream, place), Some(peer)))
}

/// # Errors
/// The files cannot be read or do not belong together.
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
    use std::net::TcpStream;

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
    fn a_connection_that_takes_nothing_is_over_after_a_minute() {
        let listener = listen("127.0.0.1:0".parse().expect("address")).expect("listener");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connection");
        let (accepted, _) = listener.accept().expect("connection");
        let limit = socket2::SockRef::from(&accepted).tcp_user_timeout().expect("option");
        assert_eq!(limit, Some(Duration::from_mins(1)));
    }
}
