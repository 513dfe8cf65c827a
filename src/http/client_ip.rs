//! The client's address: the peer's, unless the peer is a proxy that we trust.

use std::{
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use ipnet::IpNet;

use super::Problem;

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
    fn client<'a>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops: Vec<_> = forwarded.flat_map(|value| value.split(',')).collect();
        for hop in hops.iter().rev() {
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

impl FromRequest for ClientIp {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let peer = req.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let proxies = req.app_data::<web::Data<TrustedProxies>>().expect("set by the app");
        let values = req.headers().get_all("x-forwarded-for");
        let forwarded = values.filter_map(|value| value.to_str().ok());
        ready(Ok(Self(proxies.client(peer, forwarded))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, header: &[&str]) -> String {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().expect("network")]);
        let peer = peer.parse().expect("address");
        proxies.client(peer, header.iter().copied()).to_string()
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
}
