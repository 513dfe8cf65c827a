//! Addresses of services: what may stand in one, and whether it is this machine's.

use std::net::IpAddr;

use url::Url;

use super::env::Env;

/// The address, without a trailing slash, if it is set; empty after a mistake in it.
pub(super) fn read(env: &mut Env, name: &'static str, schemes: &[&str], expected: &str) -> Option<String> {
    let text = env.text(name)?;
    let Some(url) = parse(&text, schemes) else {
        env.wrong(name, expected);
        return Some(String::new());
    };
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// None unless it has one of the schemes, a host, and neither userinfo, query nor fragment: addresses
/// are printed and logged, so a password or a key in one would be as well.
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

/// Whether a host, as it stands in an address, is this machine: what goes there crosses no network.
pub(super) fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names() {
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
    fn an_address_holds_nothing_but_scheme_host_port_and_path() {
        let fits = |text| parse(text, &["https"]).is_some();
        assert!(fits("https://example.com:8443/api") && fits("https://[::1]/"));
        for text in
            ["http://a", "https:a", "https:/a", "https://u@a", "https://:p@a", "https://a?", "https://a/#"]
        {
            assert!(!fits(text), "{text}");
        }
    }
}
