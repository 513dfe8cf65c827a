//! The client's address: the peer's, unless the peer is a trusted proxy.

use std::{
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::HeaderName, web};
use ipnet::IpNet;

use super::{Problem, forwarded, network::Network};
use crate::config::{ForwardedBy, Server};

/// The networks in `TRUSTED_PROXIES` and the header to which they append; registered as application data.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    /// Only this header is read. A client could send the other one, and its proxy would leave that as it is.
    pub forwarded_by: ForwardedBy,
}

impl TrustedProxies {
    pub fn new(server: &Server) -> Self {
        Self { networks: server.trusted_proxies.clone(), forwarded_by: server.forwarded_by }
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Reads the header from the right. Each trusted proxy has appended the address of its peer; entries to
    /// the left of the first untrusted address may be forged by the client.
    fn client(&self, peer: IpAddr, lines: &[impl AsRef<str>]) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in forwarded::hops(self.forwarded_by, lines) {
            match hop {
                Some(address) if self.trusts(client) => client = address.to_canonical(),
                _ => break,
            }
        }
        client
    }
}

/// The client's address, as an extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl ClientIp {
    pub fn network(self) -> Network {
        Network::of(self.0)
    }
}

impl FromRequest for ClientIp {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let peer = req.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let proxies = req.app_data::<web::Data<TrustedProxies>>().expect("set by the app");
        // Invalid UTF-8 is replaced, which does not parse and so ends the search. Skipping the line would let a client
        // hide what its proxy has appended to that line.
        let name = forwarded::header(proxies.forwarded_by);
        let lines = req.headers().get_all(&name);
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        if !lines.is_empty() && !proxies.trusts(peer) {
            warn_untrusted_peer(peer, &name);
        }
        ready(Ok(Self(proxies.client(peer, &lines))))
    }
}

/// Warns about a proxy that is not configured, once for public and once for private addresses. Logs contain no
/// addresses.
fn warn_untrusted_peer(peer: IpAddr, header: &HeaderName) {
    static PRIVATE_WARNED: AtomicBool = AtomicBool::new(false);
    static PUBLIC_WARNED: AtomicBool = AtomicBool::new(false);
    let (done, kind) = if is_private(peer) {
        (&PRIVATE_WARNED, "a private address")
    } else {
        (&PUBLIC_WARNED, "a public address")
    };
    if !done.load(Ordering::Relaxed) && !done.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            peer = kind,
            %header,
            "ignored a forwarded address from a peer that is not in TRUSTED_PROXIES. If the peer is your reverse proxy, add \
             its network to TRUSTED_PROXIES, because all clients behind it share one rate limit and one connection \
             limit. If it is a client that sent the header itself, no action is needed"
        );
    }
}

/// Whether the address is loopback, for private use, link-local or shared (RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, header: &[&str]) -> String {
        let networks = vec!["10.0.0.0/8".parse().expect("network")];
        let proxies = TrustedProxies { networks, forwarded_by: ForwardedBy::XForwardedFor };
        let peer = peer.parse().expect("address");
        proxies.client(peer, header).to_string()
    }

    #[test]
    fn a_header_from_an_untrusted_peer_is_ignored() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn only_entries_of_trusted_proxies_count() {
        let forged = ["1.2.3.4, 198.51.100.1", "10.0.0.7"];
        assert_eq!(client("10.0.0.1", &forged), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1:1234"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:1234"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["rubbish"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn an_invalid_entry_ends_the_search() {
        assert_eq!(client("10.0.0.1", &["1.2.3.4, \u{fffd}, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "\u{fffd}, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "\u{fffd}"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "\u{fffd}, 10.0.0.7"]), "10.0.0.7");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", ""]), "10.0.0.1");
    }

    #[test]
    fn addresses_of_internal_networks_are_private() {
        for (address, private) in [
            ("127.0.0.1", true),
            ("172.17.0.1", true),
            ("::ffff:192.168.0.1", true),
            ("169.254.0.1", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("100.128.0.1", false),
            ("8.8.8.8", false),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().expect("address")), private, "{address}");
        }
    }
}
