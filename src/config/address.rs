//! Checks addresses of services: what they may contain, and whether they are local.

use std::net::IpAddr;

use url::{Host, Url};

use super::env::Env;

/// Reads an address without its trailing slash; None if it is not set, empty if it is not valid.
pub(super) fn read(env: &mut Env, name: &'static str, schemes: &[&str], expected: &str) -> Option<String> {
    let text = env.text(name)?;
    let Some(url) = parse(&text, schemes) else {
        env.wrong(name, expected);
        return Some(String::new());
    };
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Parses an address with one of the schemes and a host, but without userinfo, query and fragment: addresses are printed
/// and logged, and so would be a password or a key in them.
pub(super) fn parse(text: &str, schemes: &[&str]) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = schemes.contains(&url.scheme())
        && text.contains("://")
        && url.has_host()
        && !url.authority().contains('@')
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

/// Whether the host of an address is this machine, so that traffic to it crosses no network.
pub(super) fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a host that a client has named can only be this computer. Stricter than [`is_here`]: some systems ask a
/// server for names below `localhost`, and it may be one of strangers.
pub fn is_this_computer<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_hosts_are_recognised() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_here(host), "{host}");
        }
        for host in
            ["", "example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0"]
        {
            assert!(!is_here(host), "{host}");
        }
    }

    #[test]
    fn addresses_have_only_scheme_host_port_and_path() {
        let fits = |text| parse(text, &["https"]).is_some();
        assert!(fits("https://example.com:8443/api") && fits("https://[::1]/"));
        for text in
            ["http://a", "https:a", "https:/a", "https://u@a", "https://:p@a", "https://a?", "https://a/#"]
        {
            assert!(!fits(text), "{text}");
        }
    }
}
