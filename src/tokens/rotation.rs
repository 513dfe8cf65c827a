//! The exchange of the newest refresh tokens of some sessions, the only ones that honest clients
//! have unless something went wrong, as one statement: one round trip, one commit, and no lock
//! held between two.
//!
//! Diesel's DSL has no data-modifying WITH, and `sql_query` is planned anew each time; this
//! fragment is kept prepared.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, Inet, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use ipnet::IpNet;
use uuid::Uuid;

use super::role::Role;

/// Column by column, one element a presented token.
#[derive(Default)]
pub(super) struct Presented<'a> {
    pub session: Vec<Uuid>,
    pub user: Vec<Uuid>,
    pub generation: Vec<i32>,
    pub id: Vec<Uuid>,
    pub next_id: Vec<Uuid>,
    pub seen: Vec<i32>,
    pub user_agent: Vec<Option<&'a str>>,
    pub address: Vec<IpNet>,
}

/// What becomes of each session and its tokens if the presented one is the newest.
pub(super) struct RotateNewest<'a> {
    pub presented: Presented<'a>,
    pub now: DateTime<Utc>,
    pub access_expires_at: DateTime<Utc>,
    /// When the next refresh token expires, with and without "remember", within the session's limit.
    pub refresh_expires_at: (DateTime<Utc>, DateTime<Utc>),
    /// Tokens that were rotated earlier are removed now and then.
    pub settled_before: DateTime<Utc>,
}

/// `next_id` of a token that was the newest, when its successor expires, and the user's role.
pub(super) type Rotated = (Uuid, DateTime<Utc>, Role);

impl RotateNewest<'_> {
    pub fn run(self, conn: &mut PgConnection) -> QueryResult<Vec<Rotated>> {
        self.load(conn)
    }
}

impl QueryFragment<Pg> for RotateNewest<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Presented { session, user, generation, id, next_id, seen, user_agent, address } = &self.presented;
        out.push_sql("WITH presented AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(session)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(user)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(generation)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(next_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(seen)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(user_agent)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Inet>, _>(address)?;
        out.push_sql(
            ") AS p (session_id, user_id, generation, id, next_id, seen, user_agent, address)), \
             locked AS (SELECT id FROM sessions WHERE id = ANY (",
        );
        // In one order, as `sessions::end` does, so that two writers never wait for each other.
        out.push_bind_param::<Array<SqlUuid>, _>(session)?;
        out.push_sql(
            ") ORDER BY id FOR NO KEY UPDATE), \
             session AS (UPDATE sessions AS s SET generation = s.generation + 1, \
             seen_generation = greatest(s.seen_generation, p.seen), \
             access_expires_at = greatest(s.access_expires_at, ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.access_expires_at)?;
        out.push_sql("), refresh_expires_at = least(s.expires_at, CASE WHEN s.remember THEN ");
        out.push_bind_param::<Timestamptz, _>(&self.refresh_expires_at.0)?;
        out.push_sql(" ELSE ");
        out.push_bind_param::<Timestamptz, _>(&self.refresh_expires_at.1)?;
        out.push_sql(" END), last_seen_at = ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        // Of two that race, the second finds another generation once it gets the row.
        out.push_sql(
            ", user_agent = p.user_agent, address = p.address \
             FROM locked JOIN presented AS p ON p.session_id = locked.id \
             JOIN refresh_tokens AS t ON t.session_id = p.session_id AND t.generation = p.generation AND t.id = p.id \
             WHERE s.id = locked.id AND s.user_id = p.user_id AND s.generation = p.generation \
             RETURNING s.id, s.user_id, s.generation, s.refresh_expires_at, p.next_id), \
             old AS (UPDATE refresh_tokens AS t SET rotated_at = ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(
            " FROM session WHERE t.session_id = session.id AND t.generation = session.generation - 1), \
             swept AS (DELETE FROM refresh_tokens AS t USING session \
             WHERE session.generation % 4 = 0 AND t.session_id = session.id AND t.rotated_at < ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.settled_before)?;
        out.push_sql(
            "), new AS (INSERT INTO refresh_tokens (session_id, generation, id, issued_at, expires_at) \
             SELECT id, generation, next_id, ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(
            ", refresh_expires_at FROM session) \
             SELECT next_id, refresh_expires_at, role FROM session JOIN users ON users.id = user_id",
        );
        Ok(())
    }
}

impl QueryId for RotateNewest<'_> {
    type QueryId = RotateNewest<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for RotateNewest<'_> {
    type SqlType = (SqlUuid, Timestamptz, Text);
}

impl RunQueryDsl<PgConnection> for RotateNewest<'_> {}
