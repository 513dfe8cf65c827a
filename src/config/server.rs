//! Settings of the HTTP server.

use std::{net::SocketAddr, num::NonZero, path::PathBuf, thread, time::Duration};

use ipnet::IpNet;

use super::{Profile, address, env::Env};

/// How the API is served.
#[derive(Clone, Debug)]
pub struct Server {
    pub bind: SocketAddr,
    pub tls: Option<Tls>,
    /// Without a trailing slash; the `iss` of tokens and the base of problem types.
    pub public_url: String,
    /// Proxies whose header with the client's address is trusted.
    pub trusted_proxies: Vec<IpNet>,
    pub forwarded_by: ForwardedBy,
    /// Browser origins that may call the API; `*` for any.
    pub cors_origins: Vec<String>,
    /// Whether Swagger UI and the OpenAPI document are served.
    pub api_docs: bool,
    /// Where to report vulnerabilities: URIs for `security.txt`.
    pub security_contact: Vec<String>,
    /// Where people change their password; None for the page that resets it.
    pub change_password_url: Option<String>,
    /// Address for Prometheus metrics, without authentication.
    pub metrics_bind: Option<SocketAddr>,
    pub workers: usize,
    /// Maximum of open connections; lowered if the limit of descriptors is too low.
    pub max_connections: usize,
    /// Maximum per IPv4 address or IPv6 /48; None for a quarter of all.
    pub max_connections_per_network: Option<usize>,
    /// How long `/readyz` answers 503 after SIGTERM before the listener closes.
    pub drain_delay: Duration,
}

/// The header to which proxies append the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Server {
    pub(super) fn read(env: &mut Env, profile: Profile) -> Self {
        let bind = env.parse(
            "BIND",
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            "an address and port such as 0.0.0.0:8080",
        );
        let tls = read_tls(env);
        let drain = match profile {
            Profile::Development => Duration::ZERO,
            Profile::Production => Duration::from_secs(5),
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            bind,
            public_url: read_public_url(env, profile, bind, tls.is_some()),
            tls,
            trusted_proxies: read_proxies(env),
            forwarded_by: env.choice(
                "TRUSTED_PROXY_HEADER",
                ForwardedBy::XForwardedFor,
                &[("x-forwarded-for", ForwardedBy::XForwardedFor), ("forwarded", ForwardedBy::Forwarded)],
            ),
            cors_origins: read_origins(env),
            api_docs: env.switch("API_DOCS", true),
            security_contact: read_contacts(env),
            change_password_url: read_url(
                env,
                profile,
                "CHANGE_PASSWORD_URL",
                "an http(s) address without a query, such as https://app.example.com/settings/password",
            ),
            metrics_bind: read_metrics_bind(env),
            workers: env.number("WORKERS", cores.min(512), 1..=512),
            max_connections: env.number("MAX_CONNECTIONS", 10_000, 16..=1_000_000),
            max_connections_per_network: env.optional_number("MAX_CONNECTIONS_PER_NETWORK", 1..=1_000_000),
            drain_delay: env.duration("DRAIN_DELAY", drain, Duration::ZERO..=Duration::from_mins(5)),
        }
    }
}

fn read_contacts(env: &mut Env) -> Vec<String> {
    let contacts: Vec<String> = env.list("SECURITY_CONTACT", "URIs");
    let is_contact = |contact: &String| {
        let is_mail_or_telephone = contact.starts_with("mailto:") || contact.starts_with("tel:");
        let is_known = is_mail_or_telephone || address::parse(contact, &["https"]).is_some();
        is_known && contact.chars().all(|c| c.is_ascii_graphic())
    };
    if !contacts.iter().all(is_contact) {
        env.wrong(
            "SECURITY_CONTACT",
            "a comma-separated list of URIs with mailto:, tel: or https:, without a user name, query or fragment",
        );
    }
    contacts
}

fn read_metrics_bind(env: &mut Env) -> Option<SocketAddr> {
    let text = env.text("METRICS_BIND")?;
    let address = text.parse().ok();
    if address.is_none() {
        env.wrong("METRICS_BIND", "an address and port such as 127.0.0.1:9464");
    }
    address
}

fn read_tls(env: &mut Env) -> Option<Tls> {
    let (certificate, key) = (env.text("TLS_CERT"), env.text("TLS_KEY"));
    if certificate.is_some() != key.is_some() {
        env.wrong("TLS_CERT", "set together with TLS_KEY: two PEM files");
    }
    Some(Tls { certificate: certificate?.into(), key: key?.into() })
}

fn read_proxies(env: &mut Env) -> Vec<IpNet> {
    let networks: Vec<IpNet> = env.list("TRUSTED_PROXIES", "networks such as 10.0.0.0/8");
    // Merged, so that two halves of all addresses are refused as well.
    if IpNet::aggregate(&networks).iter().any(|network| network.prefix_len() == 0) {
        env.wrong(
            "TRUSTED_PROXIES",
            "the networks of your own proxies, not all addresses: otherwise clients can forge their address with \
             X-Forwarded-For or Forwarded and bypass the limits per address",
        );
    }
    networks
}

fn read_public_url(env: &mut Env, profile: Profile, bind: SocketAddr, tls: bool) -> String {
    let expected = "the API's own http(s) address, without a query, such as https://api.example.com";
    if let Some(url) = read_url(env, profile, "PUBLIC_URL", expected) {
        return url;
    }
    if profile == Profile::Production {
        env.wrong("PUBLIC_URL", expected);
    }
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://{bind}");
    env.note_default("PUBLIC_URL", &url);
    url
}

/// Reads an http(s) address without its trailing slash, if it is set. In production it must be https, unless the host is
/// this machine.
pub(super) fn read_url(
    env: &mut Env,
    profile: Profile,
    name: &'static str,
    expected: &str,
) -> Option<String> {
    let url = address::read(env, name, &["http", "https"], expected)?;
    let host = address::parse(&url, &["http"]).and_then(|url| url.host_str().map(str::to_owned));
    if profile == Profile::Production && host.is_some_and(|host| !address::is_here(&host)) {
        env.wrong(
            name,
            "an https address in production (http only for localhost), since passwords, tokens and links that \
             log people in are sent there",
        );
    }
    Some(url)
}

fn read_origins(env: &mut Env) -> Vec<String> {
    let origins: Vec<String> = env.list("CORS_ORIGINS", "origins");
    let is_origin = |origin: &String| {
        origin == "*"
            || url::Url::parse(origin)
                .is_ok_and(|url| url.origin().is_tuple() && url.origin().ascii_serialization() == *origin)
    };
    if !origins.iter().all(is_origin) {
        env.wrong("CORS_ORIGINS", "origins such as https://app.example.com, or *");
    }
    env.warn_if(
        origins.iter().any(|origin| origin == "*"),
        "CORS_ORIGINS is *: every web site can call the API from the browsers of its visitors",
    );
    origins
}
