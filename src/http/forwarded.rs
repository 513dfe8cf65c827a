//! Reads `X-Forwarded-For` and `Forwarded` (RFC 7239): the addresses that proxies have appended.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use actix_web::http::header::HeaderName;

use crate::config::ForwardedBy;

/// Entries that are read from the right; more proxies in a row are not plausible.
const MAX_HOPS: usize = 32;

/// The name of the header that proxies append to.
pub(super) fn header(by: ForwardedBy) -> HeaderName {
    HeaderName::from_static(match by {
        ForwardedBy::XForwardedFor => "x-forwarded-for",
        ForwardedBy::Forwarded => "forwarded",
    })
}

/// The addresses in the lines of the header, the last one first. None stands for an entry that is not an address.
pub(super) fn hops(by: ForwardedBy, lines: &[impl AsRef<str>]) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = lines.iter().rev();
    let entries = lines.flat_map(move |line| entries(by, line.as_ref()));
    let address = move |entry: &str| match by {
        ForwardedBy::XForwardedFor => parse_address(entry.trim()),
        ForwardedBy::Forwarded => parse_node(of_element(entry)?),
    };
    entries.map(address).take(MAX_HOPS)
}

/// The parts of a line between commas, the last one first.
fn entries(by: ForwardedBy, line: &str) -> Vec<&str> {
    match by {
        ForwardedBy::XForwardedFor => line.rsplit(',').take(MAX_HOPS).collect(),
        ForwardedBy::Forwarded => split(line, b','),
    }
}

/// Splits at a separator outside of quoted strings (RFC 9110 section 5.6.4), the last part first. It reads from the right,
/// so that a quote which a client has left open does not hide what its proxy has appended.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut end, mut is_quoted) = (Vec::new(), bytes.len(), false);
    for (place, byte) in bytes.iter().copied().enumerate().rev() {
        if byte == b'"' {
            let escapes = bytes.iter().take(place).rev().take_while(|byte| **byte == b'\\').count();
            is_quoted ^= escapes % 2 == 0;
        } else if byte == separator && !is_quoted {
            parts.extend(text.get(place + 1..end));
            end = place;
            if parts.len() >= MAX_HOPS {
                return parts;
            }
        }
    }
    parts.extend(text.get(..end));
    parts
}

/// The value of `for` in an element such as `for=192.0.2.1;proto=https`; None if there is not exactly one.
fn of_element(element: &str) -> Option<&str> {
    let pairs = split(element, b';');
    let mut values = pairs.iter().filter_map(|pair| pair.split_once('=')).filter_map(|(name, value)| {
        // RFC 7239 section 4: names in any case, no blanks around the sign.
        name.trim_start().eq_ignore_ascii_case("for").then_some(value.trim_end())
    });
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Parses a node (RFC 7239 section 6): an IPv4 address, or in quotes an IPv6 address in brackets; both with or without a
/// port. `unknown` and obfuscated identifiers are no addresses. A quoted string with an escape is none either.
fn parse_node(value: &str) -> Option<IpAddr> {
    let bare = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    // Some proxies write an IPv6 address without brackets.
    parse_address(bare)
}

/// Parses an address with or without a port. IPv6 addresses may stand in brackets. Zones name an interface of another
/// machine and are refused.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddrV4>() {
        return Some((*address.ip()).into());
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let address: SocketAddrV6 = text.parse().ok()?;
    (address.scope_id() == 0 && !text.contains('%')).then(|| SocketAddr::V6(address).ip())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(by: ForwardedBy, lines: &[&str]) -> Vec<String> {
        hops(by, lines).map(|hop| hop.map_or_else(|| "-".to_owned(), |address| address.to_string())).collect()
    }

    #[test]
    fn entries_of_x_forwarded_for_are_addresses_with_or_without_a_port() {
        for (entry, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            (" \t203.0.113.9 ", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "::ffff:203.0.113.9"),
            ("[203.0.113.9]", "-"),
            ("[203.0.113.9]:1", "-"),
            ("[2001:db8::1", "-"),
            ("2001:db8::1]", "-"),
            ("[[2001:db8::1]]", "-"),
            ("[2001:db8::1]:", "-"),
            ("[2001:db8::1]:99999", "-"),
            ("203.0.113.9:", "-"),
            ("203.0.113.9:x", "-"),
            ("203.0.113.09", "-"),
            ("203.0.113", "-"),
            ("203.0.113.256", "-"),
            ("0xcb.0.113.9", "-"),
            ("3405803785", "-"),
            ("fe80::1%eth0", "-"),
            ("[fe80::1%25eth0]:80", "-"),
            ("[fe80::1%2]:80", "-"),
            ("\"203.0.113.9\"", "-"),
            ("unknown", "-"),
            ("_hidden", "-"),
            ("", "-"),
            ("for=203.0.113.9", "-"),
            ("203.0.113.9 198.51.100.1", "-"),
            ("２０３.0.113.9", "-"),
        ] {
            assert_eq!(read(ForwardedBy::XForwardedFor, &[entry]), [expected], "{entry:?}");
        }
    }

    #[test]
    fn elements_of_forwarded_are_read_as_rfc_7239_says() {
        for (element, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
            ("proto=https; for=203.0.113.9 ;host=x", "203.0.113.9"),
            ("for=\"203.0.113.9\"", "203.0.113.9"),
            ("for=\"203.0.113.9:4711\"", "203.0.113.9"),
            ("for=203.0.113.9:4711", "203.0.113.9"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:_port\"", "-"),
            ("for=[2001:db8::1]", "2001:db8::1"),
            ("for=203.0.113.9;host=\"a;for=1.2.3.4\"", "203.0.113.9"),
            ("host=\"a\\\";for=1.2.3.4\";for=203.0.113.9", "203.0.113.9"),
            ("for=unknown", "-"),
            ("for=_hidden", "-"),
            ("for=\"_hidden\"", "-"),
            ("for=", "-"),
            ("for=\"\"", "-"),
            ("for=\"203.0.113.9", "-"),
            ("for=203.0.113.9\"", "-"),
            ("for=\"203.0.113\\.9\"", "-"),
            ("for =203.0.113.9", "-"),
            ("for= 203.0.113.9", "-"),
            ("for=1.2.3.4;for=203.0.113.9", "-"),
            ("by=203.0.113.9", "-"),
            ("203.0.113.9", "-"),
            ("xfor=203.0.113.9", "-"),
            ("", "-"),
        ] {
            assert_eq!(read(ForwardedBy::Forwarded, &[element]), [expected], "{element:?}");
        }
    }

    #[test]
    fn entries_are_read_from_the_right_over_all_lines() {
        let lines = ["1.1.1.1, 2.2.2.2", "3.3.3.3,,4.4.4.4"];
        assert_eq!(
            read(ForwardedBy::XForwardedFor, &lines),
            ["4.4.4.4", "-", "3.3.3.3", "2.2.2.2", "1.1.1.1"]
        );
        let lines = ["for=1.1.1.1, for=\"2.2.2.2\";host=\"a,for=9.9.9.9\"", "for=3.3.3.3"];
        assert_eq!(read(ForwardedBy::Forwarded, &lines), ["3.3.3.3", "2.2.2.2", "1.1.1.1"]);
        // A quote that a client has left open hides nothing that its proxies have appended.
        let lines = ["for=\"1.1.1.1, for=2.2.2.2", "for=3.3.3.3"];
        assert_eq!(read(ForwardedBy::Forwarded, &lines), ["3.3.3.3", "2.2.2.2", "-"]);
    }

    #[test]
    fn at_most_32_entries_are_read() {
        let line = "1.1.1.1, ".repeat(10_000);
        assert_eq!(read(ForwardedBy::XForwardedFor, &[&line]).len(), MAX_HOPS);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(line in ".{0,200}") {
            for by in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
                prop_assert!(read(by, &[&line]).len() <= MAX_HOPS);
            }
        }

        /// What a client sends before it must not change how the entry of the proxy is read.
        #[test]
        fn the_entry_of_the_last_proxy_is_read_whatever_the_client_sent(sent in "(.|[\",;\\\\]){0,60}") {
            let line = format!("{sent}, for=203.0.113.9");
            prop_assert_eq!(&read(ForwardedBy::Forwarded, &[&line])[0], "203.0.113.9");
            let line = format!("{sent}, 203.0.113.9");
            prop_assert_eq!(&read(ForwardedBy::XForwardedFor, &[&line])[0], "203.0.113.9");
        }
    }
}
