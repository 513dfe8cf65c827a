//! Ends all access to an account at once: its sessions and its API keys.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};

use super::Auth;
use crate::{
    audit::Event,
    db::UserId,
    tokens::{
        EndedSessions,
        api_keys::{self, RevokedKeys},
        sessions::{self, Selection},
    },
};

/// Sessions and API keys that a transaction has ended. Call [`Ended::refuse`] after the commit.
#[must_use = "ended sessions and revoked keys have to be refused"]
#[derive(Debug, Default)]
pub struct Ended {
    pub sessions: EndedSessions,
    pub keys: RevokedKeys,
}

impl Ended {
    /// Ends all sessions of a user and revokes all API keys, because the account ends or gets another owner. Records
    /// `event`, of the kind `ApiKeyRevoked`, if there were keys.
    pub fn all(conn: &mut PgConnection, user: UserId, event: Event, now: DateTime<Utc>) -> QueryResult<Self> {
        let keys = api_keys::revoke_all(conn, user, now)?;
        Self::with(keys, conn, user, event, now)
    }

    /// Ends all sessions of a user whose role changes. A user who stops being an admin loses the API keys with scopes for
    /// admins.
    pub fn of_demoted(
        conn: &mut PgConnection,
        user: UserId,
        event: Event,
        now: DateTime<Utc>,
    ) -> QueryResult<Self> {
        let keys = api_keys::revoke_those_for_admins(conn, user, now)?;
        Self::with(keys, conn, user, event, now)
    }

    /// Ends all sessions of the user, and records the revoked keys with `event` if there are any.
    fn with(
        keys: RevokedKeys,
        conn: &mut PgConnection,
        user: UserId,
        event: Event,
        now: DateTime<Utc>,
    ) -> QueryResult<Self> {
        if keys.count() > 0 {
            event.detail("keys", keys.count()).record(conn, now)?;
        }
        Ok(Self { sessions: sessions::end(conn, user, Selection::All)?, keys })
    }

    /// Makes this server refuse them from the next request on.
    pub(super) fn refuse(self, auth: &Auth) {
        self.sessions.refuse(&auth.blocklist);
        auth.api_keys.forget(&self.keys);
    }

    /// Leaves the refusal to the running servers, in a process that serves no requests.
    pub fn leave_to_servers(self) {
        self.sessions.leave_to_servers();
        self.keys.leave_to_servers();
    }
}
