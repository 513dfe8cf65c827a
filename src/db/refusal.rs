//! Explains why a connection could not be opened, without libpq's own text.
//!
//! libpq repeats host, user and database, and in a mistyped URL one of these is the password. So its texts are never
//! logged unchanged.

use diesel::ConnectionError;

/// Why a connection was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// One line without any part of the URL.
    pub text: String,
    /// Waiting does not help: the settings or the configuration of PostgreSQL have to change.
    pub is_final: bool,
}

/// Parts of messages of libpq and PostgreSQL, all of which must occur, and their meaning. The first match counts.
const FINAL: [(&[&str], &str); 21] = [
    (&["certificate verify failed"], BAD_CERTIFICATE),
    (&["server certificate for"], BAD_CERTIFICATE),
    (&["certificate file"], BAD_CERTIFICATE),
    (&["private key file"], BAD_CERTIFICATE),
    (&["server does not support SSL"], "PostgreSQL offers no TLS, which sslmode in DATABASE_URL asks for"),
    (&["no pg_hba.conf entry"], NOT_ADMITTED),
    (&["pg_hba.conf rejects"], NOT_ADMITTED),
    (&["authentication failed"], WRONG_PASSWORD),
    (&["no password supplied"], WRONG_PASSWORD),
    (&["role \"", "does not exist"], NO_ROLE),
    (&["is not permitted to log in"], NO_ROLE),
    (
        &["database \"", "does not exist"],
        "the database in DATABASE_URL does not exist: create it or correct the name",
    ),
    (
        &["permission denied for database"],
        "the user in DATABASE_URL may not connect to its database: grant it CONNECT",
    ),
    (&["unrecognized configuration parameter"], BAD_OPTION),
    (&["unsupported startup parameter"], BAD_OPTION),
    (&["invalid connection option"], BAD_OPTION),
    (&["invalid integer value"], BAD_OPTION),
    (&["invalid port number"], BAD_OPTION),
    // libpq: invalid sslmode value: "x".
    (&["invalid ", " value: \""], BAD_OPTION),
    (&["invalid URI"], BAD_OPTION),
    (&["definition of service"], BAD_OPTION),
];
const BAD_CERTIFICATE: &str = "the certificate of PostgreSQL cannot be verified, or the client's cannot be used: \
                               check the host, sslmode, sslrootcert, sslcert and sslkey in DATABASE_URL";
const NOT_ADMITTED: &str = "pg_hba.conf of PostgreSQL does not allow the connection: check the user, the \
                            database and sslmode in DATABASE_URL, and the address of this machine";
const WRONG_PASSWORD: &str = "PostgreSQL does not accept the user and password in DATABASE_URL";
const NO_ROLE: &str = "the user in DATABASE_URL does not exist in PostgreSQL or may not log in: create the \
                       role or correct the name";
const BAD_OPTION: &str = "an option in DATABASE_URL has a value that libpq or PostgreSQL does not support";

const TEMPORARY: [(&str, &str); 12] = [
    ("Connection refused", "nothing accepts connections at the host and port in DATABASE_URL"),
    ("could not translate host name", "the host name in DATABASE_URL cannot be resolved"),
    ("No such file or directory", "the Unix socket in DATABASE_URL does not exist"),
    ("No route to host", "the network has no route to the host in DATABASE_URL"),
    ("Network is unreachable", "the network has no route to the host in DATABASE_URL"),
    ("the database system is", "PostgreSQL is starting, stopping or recovering"),
    ("too many clients", TOO_MANY),
    ("too many connections", TOO_MANY),
    ("remaining connection slots", TOO_MANY),
    ("not currently accepting connections", "the database accepts no connections at the moment"),
    ("timeout expired", "PostgreSQL does not answer in time"),
    ("server closed the connection", "the connection was closed before it could be used"),
];
const TOO_MANY: &str = "PostgreSQL has reached its maximum number of connections";

impl Refusal {
    pub fn of(error: &ConnectionError) -> Self {
        let text = one_line(&error.to_string());
        // With several hosts or addresses the last one counts: libpq stops at the first answer.
        let last = text.rfind("connection to server").and_then(|at| text.get(at..)).unwrap_or(&text);
        let means = |parts: &[&str]| parts.iter().all(|part| last.contains(part));
        if let Some((_, meaning)) = FINAL.iter().find(|(parts, _)| means(parts)) {
            return Self { text: (*meaning).into(), is_final: true };
        }
        let temporary = TEMPORARY.iter().find(|(part, _)| last.contains(part));
        let text = temporary.map_or_else(|| unquoted(last), |(_, meaning)| (*meaning).into());
        Self { text, is_final: false }
    }
}

/// Cuts an unknown message before its first quote, which may contain a part of the URL.
fn unquoted(text: &str) -> String {
    let message = ["failed: ", "FATAL: "].iter().fold(text, |text, before| {
        text.rsplit_once(before).map_or(text, |(_, message)| message.trim_start())
    });
    let said = message.split('"').next().unwrap_or_default().trim();
    if said.is_empty() { "unknown reason".into() } else { said.chars().take(200).collect() }
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Refusal {
        Refusal::of(&ConnectionError::BadConnection(text.into()))
    }

    #[test]
    fn the_last_of_several_attempts_decides() {
        let refused = "connection to server at \"localhost\" (::1), port 5432 failed: Connection refused\n\
                       \tIs the server running on that host and accepting TCP/IP connections?\n";
        let wrong = "connection to server at \"localhost\" (127.0.0.1), port 5432 failed: \
                     FATAL:  password authentication failed for user \"x\"\n";
        assert!(of(&format!("{refused}{wrong}")).is_final);
        assert!(!of(&format!("{wrong}{refused}")).is_final);
    }

    #[test]
    fn messages_of_libpq_about_certificates_are_final() {
        for message in [
            "SSL error: certificate verify failed",
            "server certificate for \"a\" does not match host name \"b\"",
            "root certificate file \"/x\" does not exist Either provide the file or change sslmode",
            "could not read certificate file \"/x\": no start line",
            "private key file \"/x\" has group or world access",
        ] {
            let refusal = of(&format!("connection to server at \"h\" (10.0.0.1), port 1 failed: {message}"));
            assert_eq!((refusal.text.as_str(), refusal.is_final), (BAD_CERTIFICATE, true), "{message}");
        }
    }

    #[test]
    fn quotes_in_unknown_messages_are_not_repeated() {
        let unknown = "connection to server at \"secret\" (10.0.0.1), port 1 failed: FATAL:  something new \
                       about \"secret\" and \"secret\"";
        assert_eq!(of(unknown), Refusal { text: "something new about".into(), is_final: false });
        assert_eq!(of("\"secret\"").text, "unknown reason");
        assert_eq!(of("").text, "unknown reason");
        assert_eq!(of(&"x".repeat(1000)).text.len(), 200);
    }
}
