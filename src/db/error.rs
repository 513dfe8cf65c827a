//! Errors of the database: limits and outages, which become a 503, and bugs, which become a 500.

use diesel::result::{DatabaseErrorKind, Error};

use super::Outage;

/// Why a hop failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A limit of this server was exceeded.
    #[error("the database is busy: {0}")]
    Busy(&'static str),
    /// PostgreSQL ended a statement because of others: a deadlock, a lock or a statement timeout. The connection is
    /// still usable.
    #[error("the database is contended: {0}")]
    Contended(String),
    /// PostgreSQL cannot be reached, or cannot serve at the moment.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Anything else: a bug.
    #[error(transparent)]
    Query(Error),
}

/// Parts of the messages of libpq and PostgreSQL about an outage. Diesel does not provide the SQLSTATE, so messages
/// are compared; every connection requests them in English (`lc_messages=C`).
const OPERATIONAL: [&str; 12] = [
    "terminating connection",
    "server closed the connection",
    "no connection to the server",
    "connection not open",
    "could not connect",
    "connection to server",
    "the database system is",
    "too many clients",
    "remaining connection slots",
    "No space left on device",
    "could not extend file",
    "read-only transaction",
];
const CONTENDED: [&str; 3] = [
    "deadlock detected",
    "canceling statement due to statement timeout",
    "canceling statement due to lock timeout",
];

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        if let Error::DatabaseError(kind, information) = &error {
            let message = information.message();
            let is_one_of = |known: &[&str]| known.iter().any(|part| message.contains(part));
            if matches!(kind, DatabaseErrorKind::SerializationFailure) || is_one_of(&CONTENDED) {
                return Self::Contended(message.to_owned());
            }
            if matches!(kind, DatabaseErrorKind::ClosedConnection) || is_one_of(&OPERATIONAL) {
                return Self::Unavailable(message.to_owned());
            }
        }
        match error {
            Error::BrokenTransactionManager => Self::Unavailable("the connection broke".into()),
            error => Self::Query(error),
        }
    }
}

impl Outage for DbError {
    fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The name of the constraint that a statement violated, if that is the error.
pub fn constraint_violated(error: &Error) -> Option<&str> {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::CheckViolation,
            information,
        ) => information.constraint_name(),
        _ => None,
    }
}
