//! Limits open connections, in total and per client network.
//!
//! A connection above a limit is closed at once instead of waiting in the backlog, where the connections of an attacker
//! would delay all others. File descriptors must not run out: the system then refuses files and sockets to the whole
//! process.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::{
    config::Config,
    http::{Network, TrustedProxies},
    telemetry::{Exposition, MetricType},
};

/// Descriptors for everything except clients' connections: logs, listeners, calls of providers and mail servers,
/// metrics.
const RESERVE: usize = 192;
/// Descriptors for accepted connections above a limit, which are about to be closed.
const CLOSING: usize = 128;
/// Descriptors of a worker: its event loop, timers and wakers.
const PER_WORKER: usize = 8;
/// The limit is never lower, however few descriptors there are.
const MIN_CONNECTIONS: usize = 16;
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// `MAX_CONNECTIONS`.
    All,
    /// `MAX_CONNECTIONS_PER_NETWORK`.
    Network,
}

/// The open connections of one listener.
pub(super) struct Connections {
    /// Its name in the log.
    listener: &'static str,
    max: usize,
    max_per_network: Option<usize>,
    exempt: TrustedProxies,
    open: Mutex<Open>,
    refused_all: AtomicU64,
    refused_network: AtomicU64,
    reported: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// Only networks that have a limit and open connections.
    of_network: HashMap<IpAddr, usize>,
}

/// Counts an open connection until it is dropped.
pub(super) struct ConnectionSlot {
    connections: Arc<Connections>,
    network: Option<IpAddr>,
}

impl Connections {
    pub fn new(
        listener: &'static str,
        max: usize,
        max_per_network: Option<usize>,
        exempt: TrustedProxies,
    ) -> Self {
        Self {
            listener,
            max,
            max_per_network,
            exempt,
            open: Mutex::default(),
            refused_all: AtomicU64::default(),
            refused_network: AtomicU64::default(),
            reported: Mutex::default(),
        }
    }

    /// The limits of the settings, lowered if the limit of open files is too low. Raises that limit as far as possible.
    pub fn of_api(config: &Config) -> Self {
        let Config { server, database, rates, .. } = config;
        // If the limit cannot be read, the usual one is assumed.
        let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        let others = RESERVE + CLOSING + PER_WORKER * server.workers + database.pool_size as usize;
        let max = limit(server.max_connections, descriptors, others);
        if max < server.max_connections {
            tracing::warn!(
                configured = server.max_connections,
                max,
                descriptors,
                "MAX_CONNECTIONS was lowered, because the limit of open files (ulimit -Hn) is too low for it"
            );
        }
        let of_network = server.max_connections_per_network.unwrap_or(max / 4).min(max);
        let max_per_network = rates.enabled.then_some(of_network);
        tracing::info!(descriptors, max, max_per_network, "connection limits");
        Self::new("api", max, max_per_network, TrustedProxies::new(server))
    }

    /// The number of connections of one worker above which it accepts no more. It is reached only when connections
    /// arrive faster than they can be closed, and keeps the other descriptors free.
    pub fn max_per_worker(&self, workers: usize) -> usize {
        (self.max + CLOSING).div_ceil(workers)
    }

    /// Counts a connection from this address, or returns None above a limit.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        match self.enter(peer) {
            Ok(place) => Some(place),
            Err(limit) => {
                self.count(limit);
                None
            }
        }
    }

    fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionSlot, Limit> {
        let limited = self.max_per_network.filter(|_| !self.exempt.trusts(peer));
        let network = limited.map(|_| network(peer));
        let mut open = self.open.lock();
        if open.all >= self.max {
            return Err(Limit::All);
        }
        if let (Some(max), Some(network)) = (limited, network) {
            let own = open.of_network.entry(network).or_default();
            if *own >= max {
                return Err(Limit::Network);
            }
            *own += 1;
        }
        open.all += 1;
        drop(open);
        Ok(ConnectionSlot { connections: self.clone(), network })
    }

    fn count(&self, limit: Limit) {
        let counter = match limit {
            Limit::All => &self.refused_all,
            Limit::Network => &self.refused_network,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut reported = self.reported.lock();
        if reported.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return;
        }
        *reported = Some(Instant::now());
        drop(reported);
        let (all, network) = self.refused();
        tracing::warn!(
            listener = self.listener,
            open = self.open(),
            max = self.max,
            max_per_network = self.max_per_network,
            refused_all = all,
            refused_network = network,
            "refused connections above a limit; counted since the start"
        );
    }

    /// Completes when no connection is open; polled only while the server stops.
    pub async fn none_open(&self) {
        while self.open() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn open(&self) -> usize {
        self.open.lock().all
    }

    fn refused(&self) -> (u64, u64) {
        (self.refused_all.load(Ordering::Relaxed), self.refused_network.load(Ordering::Relaxed))
    }

    pub fn write(&self, metrics: &mut Exposition) {
        metrics.gauge("mintage_connections", "Open connections.", self.open());
        metrics.gauge("mintage_connections_max", "Maximum of open connections.", self.max);
        let help = "Connections that were closed at once, by limit.";
        let family = metrics.family("mintage_connections_refused_total", MetricType::Counter, help);
        let (all, network) = self.refused();
        family.sample(&[("limit", "all")], all);
        family.sample(&[("limit", "network")], network);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.all -= 1;
        if let Some(network) = self.network
            && let Some(own) = open.of_network.get_mut(&network)
        {
            *own -= 1;
            if *own == 0 {
                open.of_network.remove(&network);
            }
        }
    }
}

/// The addresses that count as one client: an IPv4 address, or an IPv6 /48.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(_) => Network::of(peer).range().addr(),
    }
}

fn limit(wanted: usize, descriptors: u64, others: usize) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    wanted.min(descriptors.saturating_sub(others)).max(MIN_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: usize, of_network: Option<usize>) -> Arc<Connections> {
        let networks = vec!["10.0.0.0/8".parse().expect("network")];
        let exempt = TrustedProxies { networks, ..TrustedProxies::default() };
        Arc::new(Connections::new("test", max, of_network, exempt))
    }

    fn enter(connections: &Arc<Connections>, peer: &str) -> Result<ConnectionSlot, Limit> {
        connections.enter(peer.parse().expect("address"))
    }

    #[test]
    fn networks_are_limited_but_trusted_proxies_are_not() {
        let all = connections(10, Some(2));
        let mut held = Vec::new();
        for peer in ["203.0.113.1", "::ffff:203.0.113.1", "2001:db8::1", "2001:db8:0:1::1"] {
            held.push(enter(&all, peer).unwrap_or_else(|limit| panic!("{peer}: {limit:?}")));
        }
        for peer in ["203.0.113.1", "2001:db8::2"] {
            assert_eq!(enter(&all, peer).err(), Some(Limit::Network), "{peer}");
        }
        for peer in ["203.0.113.2", "2001:db8:1::1", "10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"] {
            held.push(enter(&all, peer).unwrap_or_else(|limit| panic!("{peer}: {limit:?}")));
        }
        assert_eq!(
            enter(&all, "10.0.0.1").err(),
            Some(Limit::All),
            "the total limits trusted proxies as well"
        );
        held.truncate(1);
        assert!(enter(&all, "203.0.113.1").is_ok(), "a dropped connection frees its slot");
        drop(held);
        let open = all.open.lock();
        assert_eq!((open.all, open.of_network.len()), (0, 0), "nothing remains of connections that ended");
    }

    #[test]
    fn without_rate_limits_only_the_total_is_limited() {
        let all = connections(3, None);
        let held: Vec<_> = (0..3).map(|_| enter(&all, "203.0.113.1")).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(enter(&all, "203.0.113.2").err(), Some(Limit::All));
    }

    #[test]
    fn the_limit_leaves_descriptors_for_everything_else() {
        assert_eq!(limit(10_000, 524_288, 300), 10_000);
        assert_eq!(limit(10_000, 1024, 300), 724);
        assert_eq!(limit(10_000, 64, 300), MIN_CONNECTIONS);
        assert_eq!(limit(100, u64::MAX, 300), 100);
    }

    #[test]
    fn refusals_are_counted_and_logged_once_a_minute() {
        let all = connections(1, Some(1));
        let _held = all.admit("203.0.113.1".parse().expect("address")).expect("a slot");
        let flood = |connections: u64| {
            for _ in 0..connections {
                assert!(all.admit("203.0.113.1".parse().expect("address")).is_none());
            }
            all.reported.lock().expect("a line")
        };
        let line = flood(1);
        assert_eq!(flood(999), line, "no second line within the minute");
        assert_eq!(all.refused(), (1000, 0));
    }
}
