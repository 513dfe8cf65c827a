//! Defines the kinds of security events, and records one.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult, deserialize::FromSqlRow, expression::AsExpression, prelude::*, sql_types::Text,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    db::{SessionId, UserId, id_at, schema::security_events, text_enum},
    tokens::{Admin, Client, CurrentUser},
};

/// What happened.
#[derive(
    AsExpression,
    FromSqlRow,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum EventKind {
    /// An account was created; `details.by` says how.
    Registered,
    EmailConfirmed,
    LoggedIn,
    LoginFailed,
    /// Log-ins from new networks were stopped after too many wrong passwords.
    LoginsStopped,
    LoginsAllowed,
    LoggedOut,
    SessionEnded,
    RefreshTokenReused,
    PasswordChanged,
    PasswordReset,
    EmailChanged,
    EmailChangeUndone,
    ProfileChanged,
    RoleChanged,
    UserInvited,
    InvitationAccepted,
    UserDisabled,
    UserEnabled,
    UserDeleted,
    UserRestored,
    UserPurged,
    UsersImported,
    UsersExported,
    /// All security events were read as a stream.
    EventsExported,
    DataExported,
    AvatarDeleted,
    ApiKeyCreated,
    ApiKeyRevoked,
    SigningKeysRotated,
    SigningKeyRevoked,
    AllSessionsEnded,
}

text_enum!(EventKind);

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    User(UserId),
    /// A person without an access token: at a log-in, a reset, a confirmation.
    Anonymous,
    /// An operator with a shell on the server.
    Operator,
    Server,
}

impl Actor {
    fn name(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Anonymous => "anonymous",
            Self::Operator => "operator",
            Self::Server => "server",
        }
    }

    fn id(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            _ => None,
        }
    }
}

/// An event to record.
#[derive(Debug)]
#[must_use = "an event exists only when it is recorded"]
pub struct Event {
    kind: EventKind,
    actor: Actor,
    user: Option<UserId>,
    session: Option<SessionId>,
    client: Option<Client>,
    details: Map<String, Value>,
}

#[derive(Insertable)]
#[diesel(table_name = security_events)]
struct NewRow {
    id: Uuid,
    at: DateTime<Utc>,
    kind: EventKind,
    actor: &'static str,
    actor_id: Option<UserId>,
    user_id: Option<UserId>,
    session_id: Option<SessionId>,
    address: Option<IpNet>,
    user_agent: Option<String>,
    details: Value,
    salt: Vec<u8>,
}

impl Event {
    pub fn new(kind: EventKind, actor: Actor) -> Self {
        Self { kind, actor, user: None, session: None, client: None, details: Map::new() }
    }

    /// What a person without an access token does to an account: with a password, a link or a code.
    pub fn by_stranger(kind: EventKind, user: UserId, client: &Client) -> Self {
        Self::new(kind, Actor::Anonymous).about(user).from(client)
    }

    /// What the user of an access token does to the own account.
    pub fn by_user(kind: EventKind, me: &CurrentUser, client: &Client) -> Self {
        Self::new(kind, Actor::User(me.id)).about(me.id).in_session(me.session).from(client)
    }

    /// What an admin does to the account of a user.
    pub fn by_admin(kind: EventKind, admin: &Admin, client: &Client, user: UserId) -> Self {
        Self::by_user(kind, &admin.0, client).about(user)
    }

    /// The account that it happens to.
    pub fn about(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    pub fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    pub fn from(mut self, client: &Client) -> Self {
        self.client = Some(client.clone());
        self
    }

    /// Adds a detail. It must contain no secret, and is shown to the user whom the event is about.
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// Inserts the event in the caller's transaction.
    pub fn record(self, conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
        diesel::insert_into(security_events::table).values(self.row(now)).execute(conn)?;
        Ok(())
    }

    /// Inserts many events with one statement, in the caller's transaction.
    pub fn record_all(events: Vec<Self>, conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
        let rows: Vec<NewRow> = events.into_iter().map(|event| event.row(now)).collect();
        diesel::insert_into(security_events::table).values(rows).execute(conn)?;
        Ok(())
    }

    fn row(self, now: DateTime<Utc>) -> NewRow {
        let Self { kind, actor, user, session, client, details } = self;
        NewRow {
            id: id_at(now),
            at: now,
            kind,
            actor: actor.name(),
            actor_id: actor.id(),
            user_id: user,
            session_id: session,
            address: client.as_ref().map(|client| IpNet::from(client.address)),
            user_agent: client.and_then(|client| client.user_agent),
            details: Value::Object(details),
            salt: Uuid::new_v4().into_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn the_documentation_names_every_kind() {
        let (_, rest) =
            include_str!("../../docs/security.md").split_once("\n## Security events\n").expect("a section");
        let (section, _) = rest.split_once("\n## ").expect("another one");
        for kind in EventKind::VARIANTS {
            assert!(section.contains(&format!("`{}`", kind.as_str())), "{}", kind.as_str());
        }
    }
}
