//! Refuses requests that do not come from a person or program on this computer.
//!
//! A development server may listen on all addresses of a laptop in a café, and every website that its user opens can send
//! requests to it. So four things must be true:
//!
//! - The peer is this computer, which keeps other computers out.
//! - No proxy has forwarded the request (a tunnel, a reverse proxy): its client may be anywhere. By default nginx adds no
//!   header that says so, but asks by HTTP/1.0. A TCP tunnel, or a proxy that writes a `Host` of its own and adds nothing,
//!   is not recognised; so a server whose address is public has no mailbox at all ([`crate::config::Config::has_mailbox`]).
//! - `Host` is a name of this computer. A website whose name is resolved to 127.0.0.1 (DNS rebinding) counts as the same
//!   origin for the browser, but sends its own name.
//! - If a script sends it, it is one of these pages. `CORS_ORIGINS` may allow other origins to read what the API answers
//!   to a token; here is none.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Version,
        header::{self, HeaderMap, HeaderName},
        uri::Authority,
    },
    middleware::Next,
};
use url::Host;

use crate::{
    config::is_this_computer,
    http::{Problem, kind},
};

const PROXY_HEADERS: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

pub async fn only_local<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let is_here = req.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let of_uri = req.uri().authority().map(ToString::to_string);
    if is_here && req.version() >= Version::HTTP_11 && is_local(req.headers(), of_uri.as_deref()) {
        return next.call(req).await;
    }
    Err(Problem::new(&kind::NOT_FOUND)
        .detail(
            "mails are shown only on the computer that the server runs on, under http://localhost or \
             http://127.0.0.1, and not through a proxy",
        )
        .into())
}

fn is_local(headers: &HeaderMap, of_uri: Option<&str>) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if PROXY_HEADERS.into_iter().any(|name| headers.contains_key(name)) {
        return false;
    }
    // HTTP/2 has the name in the address of the request.
    let Some(host) = of_uri.or_else(|| text(header::HOST)) else { return false };
    if !names_this_computer(host) || text(header::HOST).is_some_and(|one| one != host) {
        return false;
    }
    let is_own =
        |origin: &str| ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host));
    if !text(header::ORIGIN).is_none_or(is_own) {
        return false;
    }
    let fetch = |name: &'static str| text(HeaderName::from_static(name));
    let is_navigation = fetch("sec-fetch-mode") == Some("navigate");
    is_navigation || fetch("sec-fetch-site").is_none_or(|site| ["same-origin", "none"].contains(&site))
}

/// Whether a host, with or without a port, is one that always means this computer.
fn names_this_computer(host: &str) -> bool {
    let name = host.parse::<Authority>().ok().and_then(|authority| Host::parse(authority.host()).ok());
    name.is_some_and(|name| is_this_computer(&name))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        http::header::HeaderValue,
        middleware::from_fn,
        test::{TestRequest, init_service, try_call_service},
        web,
    };

    use super::*;

    fn allowed(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_local(&headers, None)
    }

    #[test]
    fn only_names_of_this_computer_are_allowed() {
        for host in
            ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"]
        {
            assert!(allowed(&[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost:8080/",
            "192.168.1.5:8080",
            "0.0.0.0:8080",
            "[fe80::1]:8080",
            "localhost:8080, evil.example",
            "mintage.local",
        ] {
            assert!(!allowed(&[("host", host)]), "{host}");
        }
        assert!(!allowed(&[]), "no name at all");
        assert!(!is_local(&HeaderMap::new(), Some("evil.example")), "HTTP/2");
        assert!(is_local(&HeaderMap::new(), Some("localhost:8080")), "HTTP/2");
    }

    #[actix_web::test]
    async fn other_computers_are_refused_whatever_name_they_send() {
        let app = App::new().wrap(from_fn(only_local)).default_service(web::to(HttpResponse::Ok));
        let service = init_service(app).await;
        for (peer, is_allowed) in [
            ("127.0.0.1:5000", true),
            ("127.8.8.8:5000", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("192.168.1.7:5000", false),
            ("0.0.0.0:5000", false),
            ("[::ffff:192.168.1.7]:5000", false),
            ("[fe80::1]:5000", false),
            ("8.8.8.8:5000", false),
        ] {
            let request = TestRequest::get()
                .version(Version::HTTP_11)
                .peer_addr(peer.parse().expect("an address"))
                .insert_header((header::HOST, "localhost:8080"));
            let answer = try_call_service(&service, request.to_request()).await;
            assert_eq!(answer.is_ok(), is_allowed, "{peer}");
        }
    }

    /// Without a line of its own, nginx asks like this: by HTTP/1.0, and with its upstream as the host.
    #[actix_web::test]
    async fn http_1_0_is_refused() {
        let app = App::new().wrap(from_fn(only_local)).default_service(web::to(HttpResponse::Ok));
        let service = init_service(app).await;
        for (version, is_allowed) in [
            (Version::HTTP_09, false),
            (Version::HTTP_10, false),
            (Version::HTTP_11, true),
            (Version::HTTP_2, true),
        ] {
            let request = TestRequest::get()
                .version(version)
                .peer_addr(([127, 0, 0, 1], 5000).into())
                .insert_header((header::HOST, "127.0.0.1:8080"))
                .insert_header((header::CONNECTION, "close"));
            let answer = try_call_service(&service, request.to_request()).await;
            assert_eq!(answer.is_ok(), is_allowed, "{version:?}");
        }
    }

    #[test]
    fn requests_of_other_origins_and_of_proxies_are_refused() {
        let with = |name, value| allowed(&[("host", "localhost:8080"), (name, value)]);
        assert!(with("origin", "http://localhost:8080"));
        for origin in ["http://localhost:3000", "https://evil.example", "null", "", "http://localhost:80801"]
        {
            assert!(!with("origin", origin), "{origin}");
        }
        for name in PROXY_HEADERS {
            assert!(!with(name, "127.0.0.1"), "{name}");
        }
        for site in ["cross-site", "same-site", "nonsense"] {
            assert!(!with("sec-fetch-site", site), "{site}");
            let link = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", "navigate")];
            assert!(allowed(&link), "a link to the page from {site}");
        }
        assert!(with("sec-fetch-site", "same-origin") && with("sec-fetch-site", "none"));
    }
}
