//! Settings of the database.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{
    Profile, address,
    env::{Env, Secret},
};

/// Which PostgreSQL is used, and how.
#[derive(Clone, Debug)]
pub struct Database {
    /// None for the embedded cluster in the data directory.
    pub url: Option<Secret>,
    /// The same database as its owner, who migrates it; None if the role of `url` does.
    pub migration_url: Option<Secret>,
    pub pool_size: u32,
    pub auto_migrate: bool,
    /// How long a start retries to connect.
    pub connect_wait: Duration,
}

impl Database {
    pub(super) fn read(env: &mut Env, profile: Profile) -> Self {
        let url = env.secret("DATABASE_URL");
        check(env, "DATABASE_URL", url.as_ref());
        let migration_url = env.secret("DATABASE_MIGRATION_URL");
        check(env, "DATABASE_MIGRATION_URL", migration_url.as_ref());
        if url.is_none() && migration_url.is_some() {
            env.wrong("DATABASE_MIGRATION_URL", "set together with DATABASE_URL");
        }
        let embedded = env.switch("EMBEDDED_DATABASE", profile == Profile::Development);
        if url.is_none() && !embedded {
            env.wrong(
                "DATABASE_URL",
                "a PostgreSQL URL (or set EMBEDDED_DATABASE=on to run a private cluster in DATA_DIR)",
            );
        }
        Self {
            url,
            migration_url,
            pool_size: env.number("DATABASE_POOL_SIZE", 10, 1..=500),
            auto_migrate: env.switch("AUTO_MIGRATE", true),
            connect_wait: env.duration(
                "DATABASE_CONNECT_WAIT",
                Duration::from_secs(30),
                Duration::ZERO..=Duration::from_mins(10),
            ),
        }
    }
}

fn check(env: &mut Env, name: &'static str, url: Option<&Secret>) {
    let Some(url) = url else {
        return;
    };
    let Some(target) = Target::parse(url.expose()) else {
        env.wrong(
            name,
            "a URL such as postgresql://user:password@host:5432/database?sslmode=verify-full, in which \
             characters like / @ % of a password are percent-encoded",
        );
        return;
    };
    env.warn_if(
        target.is_exposed(),
        &format!(
            "{name} names another host without sslmode=verify-full: data for the database, such as password hashes, \
             may cross the network unencrypted"
        ),
    );
}

/// The parts of a libpq URL that matter here.
///
/// A URL that libpq cannot parse is refused before libpq gets it, since its messages repeat the part that it cannot
/// parse, which is often the password.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// Names, addresses or socket directories; empty for libpq's own choice, a local socket.
    hosts: Vec<String>,
    sslmode: Option<String>,
}

impl Target {
    /// Parses by the grammar of libpq's `conninfo_uri_parse_options`; None if it does not match.
    fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, places) = authority.split_once('@').unwrap_or(("", authority));
        decode(userinfo)?;
        if places.contains('@') || database.contains(['@', '/']) {
            return None;
        }
        decode(database)?;
        let mut hosts: Vec<_> = places.split(',').map(host).collect::<Option<_>>()?;
        let (mut addresses, mut sslmode) = (Vec::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').filter(|(_, value)| !value.contains('='))?;
            let value = decode(value)?;
            match name {
                "host" => hosts = value.split(',').map(str::to_owned).collect(),
                "hostaddr" => addresses = value.split(',').map(str::to_owned).collect(),
                "sslmode" => sslmode = Some(value),
                "ssl" if value == "true" => sslmode = Some("require".into()),
                _ if OPTIONS.contains(&name) => {}
                _ => return None,
            }
        }
        hosts.extend(addresses);
        Some(Self { hosts, sslmode })
    }

    /// Whether passwords and data may cross a network unencrypted: `prefer`, the default of libpq, continues without TLS
    /// if the server, or an attacker in its place, does not offer it.
    fn is_exposed(&self) -> bool {
        let is_local =
            |host: &String| host.is_empty() || host.starts_with(['/', '@']) || address::is_here(host);
        let asks_for_tls = ["require", "verify-ca", "verify-full"];
        let encrypted = self.sslmode.as_deref().is_some_and(|mode| asks_for_tls.contains(&mode));
        !encrypted && !self.hosts.iter().all(is_local)
    }
}

/// The other options that libpq knows (PostgreSQL 18, section 32.1.2).
const OPTIONS: [&str; 48] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

fn decode(text: &str) -> Option<String> {
    let is_escape = |(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit) && digits != b"00")
    };
    if text.contains(' ') || !text.match_indices('%').all(is_escape) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8_lossy().into_owned())
}

/// Parses `host`, `host:port`, `[::1]:port` or nothing, and returns the host.
fn host(place: &str) -> Option<String> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => place.find(':').map_or((place, ""), |colon| place.split_at(colon)),
    };
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    decode(host).filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_libpq_are_accepted() {
        for (url, hosts) in [
            ("postgres://", &[""] as &[&str]),
            ("postgresql:///mintage?host=%2Frun%2Fpostgresql&user=mintage", &["/run/postgresql"]),
            ("postgresql://ada:p%40ss%2Fw#!$:x@db.example.com:5432/mintage", &["db.example.com"]),
            (
                "postgresql://a:b@h1:1,h2,[2001:db8::1]:3/d?target_session_attrs=any",
                &["h1", "h2", "2001:db8::1"],
            ),
            ("postgresql://%2Frun%2Fpostgresql/d?", &["/run/postgresql"]),
            ("postgresql://h/d?hostaddr=10.0.0.1&sslmode=require", &["h", "10.0.0.1"]),
        ] {
            let target = Target::parse(url);
            assert_eq!(
                target.map(|target| target.hosts),
                Some(hosts.iter().map(ToString::to_string).collect()),
                "{url}"
            );
        }
    }

    #[test]
    fn only_local_or_encrypted_connections_are_not_exposed() {
        let exposed = |rest: &str| Target::parse(&format!("postgres://{rest}")).expect("a URL").is_exposed();
        for rest in [
            "db.example.com",
            "db/d?sslmode=prefer",
            "db/d?sslmode=disable",
            "localhost,db/d",
            "localhost/d?host=db",
            "/d?hostaddr=10.0.0.1&host=localhost",
            "db/d?sslmode=require&sslmode=disable",
            "db/d?sslmode=REQUIRE",
        ] {
            assert!(exposed(rest), "{rest}");
        }
        for rest in
            ["", "localhost", "127.0.0.1:5433/d", "[::1]/d", "db/d?sslmode=verify-ca", "db/d?host=/run"]
        {
            assert!(!exposed(rest), "{rest}");
        }
    }
}
