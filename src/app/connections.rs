//! How many connections may be open: all together, and of one client network.
//!
//! A connection above a limit is closed at once. It must not wait in the backlog, where an attacker's connections
//! would be ahead of everybody else's, and descriptors must not run out: the system then refuses connections, files
//! and sockets to the whole process.

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
    config::Server,
    http::{Network, TrustedProxies},
    telemetry::Exposition,
};

/// Descriptors for what is no client's connection: logs, listeners, calls of providers and mail servers, metrics.
const RESERVE: usize = 192;
/// Descriptors for connections that were accepted and are about to be closed, because they are above a limit.
const ABOUT_TO_CLOSE: usize = 128;
/// A worker's own: its event loop, timers and wakers.
const OF_WORKER: usize = 8;
/// However few descriptors there are, some connections are accepted.
const FEWEST: usize = 16;
const BETWEEN_LOG_LINES: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// `MAX_CONNECTIONS` are open.
    All,
    /// `MAX_CONNECTIONS_PER_NETWORK` of this client network are open.
    Network,
}

/// The connections that are open on one listener.
pub(super) struct Connections {
    /// For the log.
    listener: &'static str,
    most: usize,
    most_of_network: Option<usize>,
    exempt: TrustedProxies,
    open: Mutex<Open>,
    refused_all: AtomicU64,
    refused_network: AtomicU64,
    reported: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// Only networks that have a limit, and only while a connection of theirs is open.
    of_network: HashMap<IpAddr, usize>,
}

/// One open connection; it is given back when this is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    network: Option<IpAddr>,
}

impl Connections {
    pub fn new(
        listener: &'static str,
        most: usize,
        most_of_network: Option<usize>,
        exempt: TrustedProxies,
    ) -> Self {
        Self {
            listener,
            most,
            most_of_network,
            exempt,
            open: Mutex::default(),
            refused_all: AtomicU64::default(),
            refused_network: AtomicU64::default(),
            reported: Mutex::default(),
        }
    }

    /// As configured, as far as the limit of open files allows; raises that limit as far as it can.
    pub fn of_api(server: &Server, pool_size: u32) -> Self {
        // Without an answer of the system its usual limit is assumed.
        let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        let others = RESERVE + ABOUT_TO_CLOSE + OF_WORKER * server.workers + pool_size as usize;
        let most = most(server.max_connections, descriptors, others);
        if most < server.max_connections {
            tracing::warn!(
                configured = server.max_connections,
                most,
                descriptors,
                "MAX_CONNECTIONS is lowered: the limit of open files (ulimit -Hn) does not allow as many"
            );
        }
        let of_network = server.max_connections_per_network.unwrap_or(most / 4).min(most);
        let most_of_network = server.rate_limits.then_some(of_network);
        tracing::info!(descriptors, most, most_of_network, "limits of open connections");
        Self::new("api", most, most_of_network, TrustedProxies(server.trusted_proxies.clone()))
    }

    /// How many connections one of so many workers may hold before no more are accepted. It is reached only when
    /// connections arrive faster than they can be refused; together the workers leave the other descriptors alone.
    pub fn most_of_worker(&self, workers: usize) -> usize {
        (self.most + ABOUT_TO_CLOSE).div_ceil(workers)
    }

    /// A place for a connection from this address, or None above a limit.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        match self.enter(peer) {
            Ok(place) => Some(place),
            Err(refusal) => {
                self.count(refusal);
                None
            }
        }
    }

    fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Refusal> {
        let limited = self.most_of_network.filter(|_| !self.exempt.trusts(peer));
        let network = limited.map(|_| network(peer));
        let mut open = self.open.lock();
        if open.all >= self.most {
            return Err(Refusal::All);
        }
        if let (Some(most), Some(network)) = (limited, network) {
            let own = open.of_network.entry(network).or_default();
            if *own >= most {
                return Err(Refusal::Network);
            }
            *own += 1;
        }
        open.all += 1;
        drop(open);
        Ok(Place { connections: self.clone(), network })
    }

    fn count(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::All => &self.refused_all,
            Refusal::Network => &self.refused_network,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut reported = self.reported.lock();
        if reported.is_some_and(|at| at.elapsed() < BETWEEN_LOG_LINES) {
            return;
        }
        *reported = Some(Instant::now());
        drop(reported);
        let (all, network) = self.refused();
        tracing::warn!(
            listener = self.listener,
            open = self.open(),
            most = self.most,
            most_of_network = self.most_of_network,
            refused_all = all,
            refused_network = network,
            "connections are refused; the counts are since the start"
        );
    }

    /// Completes when no connection is open. It is asked only while the server stops.
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

    pub fn write(&self, text: &mut Exposition) {
        text.single("mintage_connections", "gauge", "Connections that are open.", self.open());
        text.single("mintage_connections_max", "gauge", "Connections that may be open.", self.most);
        let name = "mintage_connections_refused_total";
        text.family(name, "counter", "Connections that were closed at once, by the limit they were above.");
        let (all, network) = self.refused();
        text.sample(name, &[("limit", "all")], all);
        text.sample(name, &[("limit", "network")], network);
    }
}

impl Drop for Place {
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

/// What one client easily has for itself: an IPv4 address, of IPv6 a /48.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(_) => Network::of(peer).range().addr(),
    }
}

fn most(wanted: usize, descriptors: u64, others: usize) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    wanted.min(descriptors.saturating_sub(others)).max(FEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: usize, of_network: Option<usize>) -> Arc<Connections> {
        let exempt = TrustedProxies(vec!["10.0.0.0/8".parse().expect("network")]);
        Arc::new(Connections::new("test", most, of_network, exempt))
    }

    fn enter(connections: &Arc<Connections>, peer: &str) -> Result<Place, Refusal> {
        connections.enter(peer.parse().expect("address"))
    }

    #[test]
    fn one_network_leaves_room_for_others_and_trusted_proxies_have_no_limit_of_their_own() {
        let all = connections(10, Some(2));
        let mut held = Vec::new();
        for peer in ["203.0.113.1", "::ffff:203.0.113.1", "2001:db8::1", "2001:db8:0:1::1"] {
            held.push(enter(&all, peer).unwrap_or_else(|refusal| panic!("{peer}: {refusal:?}")));
        }
        for peer in ["203.0.113.1", "2001:db8::2"] {
            assert_eq!(enter(&all, peer).err(), Some(Refusal::Network), "{peer}");
        }
        for peer in ["203.0.113.2", "2001:db8:1::1", "10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"] {
            held.push(enter(&all, peer).unwrap_or_else(|refusal| panic!("{peer}: {refusal:?}")));
        }
        assert_eq!(enter(&all, "10.0.0.1").err(), Some(Refusal::All), "no one is above the limit of all");
        held.truncate(1);
        assert!(enter(&all, "203.0.113.1").is_ok(), "a place comes back");
        drop(held);
        let open = all.open.lock();
        assert_eq!((open.all, open.of_network.len()), (0, 0), "nothing is kept of connections that ended");
    }

    #[test]
    fn without_rate_limits_only_the_limit_of_all_holds() {
        let all = connections(3, None);
        let held: Vec<_> = (0..3).map(|_| enter(&all, "203.0.113.1")).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(enter(&all, "203.0.113.2").err(), Some(Refusal::All));
    }

    #[test]
    fn the_limit_of_descriptors_leaves_room_for_everything_else() {
        assert_eq!(most(10_000, 524_288, 300), 10_000);
        assert_eq!(most(10_000, 1024, 300), 724);
        assert_eq!(most(10_000, 64, 300), FEWEST);
        assert_eq!(most(100, u64::MAX, 300), 100);
    }

    #[test]
    fn a_flood_is_one_line_in_the_log_and_counted() {
        let all = connections(1, Some(1));
        let _held = all.admit("203.0.113.1".parse().expect("address")).expect("a place");
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
