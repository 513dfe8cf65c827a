//! Starting, serving and stopping in order.

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
    config::{Config, Provider, SecretKey},
    db::Follower,
    http::Stage,
};

/// Without a drain delay: clients that use their connections have this long to learn from an answer that theirs is
/// closed. A connection that is closed while a request is on the way to it looks like a failure.
const LAST_CALL: Duration = Duration::from_millis(200);

/// A server that is ready to serve.
pub struct Server {
    config: Config,
    services: Services,
    internals: Internals,
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
        let (services, internals, followers) = start(&config, secret, clock)?;
        Ok(Self { config, services, internals, listener, metrics, _followers: followers })
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

    /// Whether Swagger UI is served.
    #[must_use]
    pub fn has_api_docs(&self) -> bool {
        self.config.server.api_docs
    }

    /// Which providers coins come from, in the order in which they are asked.
    #[must_use]
    pub fn coins_source(&self) -> String {
        match self.config.coins.providers.as_slice() {
            [Provider::Demo] => "a demonstration snapshot (COINS_PROVIDERS names no other)".into(),
            providers => providers.iter().map(|one| one.name()).collect::<Vec<_>>().join(", then "),
        }
    }

    /// Serves until `stop` completes, then for the drain delay, then finishes what is in flight.
    ///
    /// While it drains, everything is served (also new connections and streams), but `/readyz` says no and each answer
    /// closes its connection. Then the listener closes, and only then streams and idle connections end: their clients
    /// connect again at once, and must not come back to this server.
    ///
    /// # Errors
    /// The TLS files cannot be used, the listener fails, or a background task asks for a new process.
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
            let _ = timeout(LAST_CALL.saturating_sub(drain_delay), connections.none_open()).await;
            door.settle().await;
            let stopped = handle.stop(true);
            shutdown.enter(Stage::Closing);
            // The workers look only once a second whether their connections are closed.
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
            bail!("{reason}: start again, nothing is lost");
        }
        Ok(served?)
    }
}
