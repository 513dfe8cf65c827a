//! Starts, serves and stops in order.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::rt;
use anyhow::{Context, Result, bail};
use futures_util::FutureExt;
use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    Internals, Services,
    background::Background,
    listen::{Serving, listen, tls_acceptor},
    start,
};
use crate::{
    clock::Clock,
    config::{Config, SecretKey},
    db::Follower,
    http::Stage,
    market,
};

/// Minimum time between the begin of draining and the end of idle connections, also without `DRAIN_DELAY`: active
/// clients learn from a response that their connection is closed. Closing one while a request is on its way looks like
/// a failure.
const MIN_DRAIN: Duration = Duration::from_millis(200);

/// A server that has bound its port and opened its database.
pub struct Server {
    config: Config,
    services: Services,
    internals: Internals,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    /// Keep the views up to date until the server ends.
    _followers: [Follower; 2],
}

impl Server {
    /// Binds, connects and migrates; blocks. `config.database.url` must be set.
    ///
    /// # Errors
    /// The text tells an operator what to change.
    pub fn start(config: Config, secret: &SecretKey, clock: &Clock) -> Result<Self> {
        let listen = |address| listen(address).with_context(|| format!("cannot listen on {address}"));
        let listener = listen(config.server.bind)?;
        let metrics = config.server.metrics_bind.map(listen).transpose()?;
        let (services, internals, followers) = start(&config, secret, clock)?;
        Ok(Self { config, services, internals, listener, metrics, _followers: followers })
    }

    /// The address of the listener, with the actual port.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The address of the listener for metrics, if there is one.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// The address for people: `PUBLIC_URL`, or that of the listener if `BIND` has port 0.
    pub fn base_url(&self, address: SocketAddr) -> String {
        match self.config.server.bind.port() {
            0 if self.config.server.tls.is_some() => format!("https://{address}"),
            0 => format!("http://{address}"),
            _ => self.config.server.public_url.clone(),
        }
    }

    /// Whether Swagger UI is served.
    pub fn has_api_docs(&self) -> bool {
        self.config.server.api_docs
    }

    /// Whether the page with the mails of this server is served.
    pub fn has_mailbox(&self) -> bool {
        self.services.mailbox.is_some()
    }

    /// The providers of coins, in the order in which they are tried.
    pub fn coins_source(&self) -> String {
        if market::wants_real(&self.config.coins) {
            self.config.coins.providers.join(", then ")
        } else {
            "built-in demo data (COINS_PROVIDERS has no other provider)".into()
        }
    }

    /// Serves until `stop` completes, then for the drain delay, then finishes what is in flight.
    ///
    /// During the drain delay everything is served (also new connections and streams), but `/readyz` answers 503 and each
    /// response closes its connection. Then the listener closes, and only then streams and idle connections end: their
    /// clients reconnect at once, and must not reach this server.
    ///
    /// # Errors
    /// The TLS files are not usable, the listener fails, or a background task requests the end of the process.
    pub async fn serve(self, stop: impl Future<Output = ()> + 'static) -> Result<()> {
        let Self { config, services, internals, listener, metrics, _followers } = self;
        let application = services.clone();
        let serving = Serving {
            workers: config.server.workers,
            blocking_threads: services.db.threads(),
            tls: config.server.tls.as_ref().map(tls_acceptor).transpose()?,
            connections: internals.connections.clone(),
            shutdown: services.envelope.shutdown.clone(),
        };
        let (running, door) = serving.start(listener, move || application.application())?;

        let handle = running.handle();
        let (shutdown, drain_delay) = (services.envelope.shutdown.clone(), config.server.drain_delay);
        let connections = internals.connections.clone();
        let (begin_stop, stopping) = watch::channel(false);
        let (ended, (all_closed, closed)) = (begin_stop.clone(), oneshot::channel());
        let tasks = services.tasks.clone();
        let fatal = tasks.clone();
        rt::spawn(async move {
            tokio::select! {
                () = stop => {}
                _ = fatal.fatal() => {}
            }
            begin_stop.send_replace(true);
            shutdown.enter(Stage::Draining);
            sleep(drain_delay).await;
            let _ = timeout(MIN_DRAIN.saturating_sub(drain_delay), connections.none_open()).await;
            door.settle().await;
            let stopped = handle.stop(true);
            shutdown.enter(Stage::Closing);
            // The workers check only once a second whether their connections are closed.
            tokio::select! {
                () = stopped => {}
                () = connections.none_open() => {}
            }
            let _ = all_closed.send(());
        });
        let background = Background::start(services, internals, &config.social, metrics, stopping)?;
        let served = tokio::select! {
            served = running => served,
            Ok(()) = closed => Ok(()),
        };
        ended.send_replace(true);
        background.end().await?;
        if let Some(reason) = tasks.fatal().now_or_never() {
            bail!("{reason}: restart the server; no data is lost");
        }
        Ok(served?)
    }
}
