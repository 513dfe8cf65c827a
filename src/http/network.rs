//! The network of a client, for limits per network.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The network of a client: the /24 of an IPv4 address, the /48 of an IPv6 address.
///
/// Limits count by network where a client could escape them by using its next address: a household or a server can
/// have a whole /48 of IPv6 (RFC 6177), and a /24 is the smallest IPv4 network that is routed on the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => {
                IpNet::V4(Ipv4Net::new_assert(address & Ipv4Addr::new(255, 255, 255, 0), 24))
            }
            IpAddr::V6(address) => {
                IpNet::V6(Ipv6Net::new_assert(address & Ipv6Addr::new(!0, !0, !0, 0, 0, 0, 0, 0), 48))
            }
        })
    }

    pub fn range(self) -> IpNet {
        self.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_the_24_of_ipv4_and_the_48_of_ipv6() {
        let network = |address: &str| Network::of(address.parse().expect("address")).range().to_string();
        assert_eq!(network("203.0.113.9"), "203.0.113.0/24");
        assert_eq!(network("::ffff:203.0.113.9"), "203.0.113.0/24");
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1::/48");
    }
}
