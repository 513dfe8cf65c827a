//! Starting, serving and stopping in order.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::atomic::Ordering,
    time::Duration,
};

use actix_web::{HttpServer, rt};
use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::sync::watch;

use super::{Services, background::Background};
use crate::{
    clock::Clock,
    config::{Config, Provider, SecretKey, Tls},
    db::Follower,
};

const READ_HEAD: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_mins(1);
/// Requests that are in flight when it stops get this long.
const FINISH_SECONDS: u64 = 30;

/// A server that is ready to serve.
pub struct Server {
    config: Config,
    services: Services,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    /// Keep the views in step for as long as the server lives.
    _followers: [Follower; 2],
}

impl Server {
    /// Binds, connects and migrates; blocks. `config.database.url` must be set.
    ///
    /// # Errors
    /// What an operator has to look at.
    pub fn start(config: Config, secret: &SecretKey, clock: &Clock) -> Result<Self> {
        let listen = |address| listen(address).with_context(|| format!("cannot listen on {address}"));
        let listener = listen(config.server.bind)?;
        let metrics = config.server.metrics_bind.map(listen).transpose()?;
        let (services, followers) = Services::start(&config, secret, clock)?;
        Ok(Self { config, services, listener, metrics, _followers: followers })
    }

    /// Where it listens, with the real port.
    ///
    /// # Errors
    /// The listener is unusable.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where metrics are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// The address for people: the public one, or where it listens if that has no fixed port.
    #[must_use]
    pub fn base_url(&self, address: SocketAddr) -> String {
        match self.config.server.bind.port() {
            0 if self.config.server.tls.is_some() => format!("https://{address}"),
            0 => format!("http://{address}"),
            _ => self.config.server.public_url.clone(),
        }
    }

    /// Which providers coins come from, in the order in which they are asked.
    #[must_use]
    pub fn coins_source(&self) -> String {
        match self.config.coins.providers.as_slice() {
            [Provider::Demo] => "a demonstration snapshot (COINS_PROVIDERS names no other)".into(),
            providers => providers.iter().map(|one| one.name()).collect::<Vec<_>>().join(", then "),
        }
    }

    /// Serves until `stop` completes, then finishes what is in flight.
    ///
    /// # Errors
    /// The TLS files cannot be used, or the listener fails.
    pub async fn serve(self, stop: impl Future<Output = ()> + 'static) -> Result<()> {
        let Self { config, services, listener, metrics, _followers } = self;
        let application = services.clone();
        let server = HttpServer::new(move || application.application())
            .workers(config.server.workers)
            .worker_max_blocking_threads(config.database.pool_size as usize)
            .client_request_timeout(READ_HEAD)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(FINISH_SECONDS)
            .disable_signals();
        let server = match &config.server.tls {
            None => server.listen(listener)?,
            Some(tls) => server.listen_rustls_0_23(listener, tls_config(tls)?)?,
        };
        let running = server.run();

        let handle = running.handle();
        let (envelope, drain_delay) = (services.envelope.clone(), config.server.drain_delay);
        let (begin_stop, stopping) = watch::channel(false);
        let ended = begin_stop.clone();
        rt::spawn(async move {
            stop.await;
            begin_stop.send_replace(true);
            envelope.draining.store(true, Ordering::Relaxed);
            rt::time::sleep(drain_delay).await;
            handle.stop(true).await;
        });
        let background = Background::start(services, &config.social, metrics, stopping)?;
        let served = running.await;
        ended.send_replace(true);
        background.end().await?;
        Ok(served?)
    }
}

/// Connections inherit from it how long they may take nothing of what is sent to them: a client that
/// reads no further would else keep its connection, and its place among the streams, for ever.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(UNREAD))?;
    Ok(listener)
}

fn tls_config(tls: &Tls) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable("TLS_CERT", &tls.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).with_context(|| unreadable("TLS_KEY", &tls.key))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("TLS_CERT and TLS_KEY do not belong together")
}

fn unreadable(name: &str, path: &Path) -> String {
    format!("{name}: {} cannot be read as PEM", path.display())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_connection_that_takes_nothing_is_over_after_a_minute() {
        let listener = listen("127.0.0.1:0".parse().expect("address")).expect("listener");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connection");
        let (accepted, _) = listener.accept().expect("connection");
        let limit = socket2::SockRef::from(&accepted).tcp_user_timeout().expect("option");
        assert_eq!(limit, Some(Duration::from_mins(1)));
    }
}
