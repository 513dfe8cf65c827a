//! What can go wrong in the database, seen by who must act: a bug (500) or an outage (503).

use diesel::result::{DatabaseErrorKind, Error};

use super::Outage;

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A bound of ours was hit.
    #[error("the database is busy: {0}")]
    Busy(&'static str),
    /// PostgreSQL has ended a statement that others stood in the way of; the connection is as good as before.
    #[error("the database is contended: {0}")]
    Contended(String),
    /// PostgreSQL cannot be reached or cannot serve now.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Anything else: a bug.
    #[error(transparent)]
    Query(Error),
}

/// What PostgreSQL says when it cannot serve now. Diesel passes no SQLSTATE on, so this reads
/// the messages; every connection asks for them untranslated (`lc_messages=C`).
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

/// The name of the constraint that a statement violated, if that is why it failed.
#[must_use]
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
