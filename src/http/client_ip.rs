//! The client's address: the peer's, unless the peer is a proxy that we trust.

use std::{
    borrow::Borrow,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use ipnet::IpNet;

use super::{Problem, network::Network};

/// The networks of `TRUSTED_PROXIES`; part of the application's data.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// `X-Forwarded-For` read from the right: each trusted proxy appended whom it saw, and what
    /// stands left of the first untrusted address is the client's own claim.
    fn client(&self, peer: IpAddr, lines: &[impl Borrow<str>]) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in lines.iter().rev().flat_map(|line| line.borrow().rsplit(',')) {
            if !self.trusts(client) {
                break;
            }
            match parse(hop.trim()) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// Some proxies add the port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl ClientIp {
    #[must_use]
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
        // Bytes that are not UTF-8 stay as rubbish, which ends the walk. A line that is left out would let a client
        // hide what its proxy appended to that line.
        let lines = req.headers().get_all("x-forwarded-for");
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        if !lines.is_empty() && !proxies.trusts(peer) {
            warn_of_untrusted(peer);
        }
        ready(Ok(Self(proxies.client(peer, &lines))))
    }
}

/// Tells the operator of a proxy that is not configured, once for each kind of address. Logs hold no addresses.
fn warn_of_untrusted(peer: IpAddr) {
    static OF_PRIVATE: AtomicBool = AtomicBool::new(false);
    static OF_PUBLIC: AtomicBool = AtomicBool::new(false);
    let (done, kind) =
        if is_private(peer) { (&OF_PRIVATE, "a private address") } else { (&OF_PUBLIC, "a public address") };
    if !done.load(Ordering::Relaxed) && !done.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            peer = kind,
            "ignored X-Forwarded-For of a peer that is not in TRUSTED_PROXIES. If the peer is your reverse proxy, all \
             clients behind it share one rate limit and one limit of connections: add its network to TRUSTED_PROXIES. \
             If it is a client that sends the header by itself, nothing has to be done"
        );
    }
}

/// Loopback, private use, link-local and shared address space (RFC 6890).
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
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().expect("network")]);
        let peer = peer.parse().expect("address");
        proxies.client(peer, header).to_string()
    }

    #[test]
    fn a_header_from_a_stranger_is_not_believed() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn only_what_trusted_proxies_appended_counts() {
        let forged = ["1.2.3.4, 198.51.100.1", "10.0.0.7"];
        assert_eq!(client("10.0.0.1", &forged), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1:1234"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:1234"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["rubbish"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn rubbish_in_the_header_hides_nothing_right_of_it_and_lets_nothing_left_of_it_through() {
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
