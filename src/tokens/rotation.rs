//! Exchanges the newest refresh token of a session in one statement: one round trip, one commit, and no lock that is
//! held between two statements. Honest clients have no other token unless something went wrong.
//!
//! Diesel's DSL has no data-modifying WITH, and `sql_query` is planned each time. This query fragment is kept prepared.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Inet, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use ipnet::IpNet;
use uuid::Uuid;

use super::{claims::RefreshClaims, role::Role};

/// The new state of a session and its tokens if the presented token is the newest.
pub(super) struct RotateNewest<'a> {
    pub presented: &'a RefreshClaims,
    pub next_id: Uuid,
    /// The newest generation whose access token was seen; -1 for none.
    pub seen: i32,
    pub user_agent: Option<&'a str>,
    pub address: IpNet,
    pub now: DateTime<Utc>,
    /// A session whose refresh token expired by this time is not changed.
    pub expired_before: DateTime<Utc>,
    pub access_expires_at: DateTime<Utc>,
    /// When the next refresh token expires if the session is remembered, within the session's limit.
    pub remembered_until: DateTime<Utc>,
    /// When the next refresh token expires if the session is not remembered.
    pub short_until: DateTime<Utc>,
    /// Every fourth exchange deletes tokens that were rotated before this time.
    pub settled_before: DateTime<Utc>,
}

impl RotateNewest<'_> {
    /// Returns when the new token expires, and the user's role. None if the token is not the newest or has expired.
    pub fn run(self, conn: &mut PgConnection) -> QueryResult<Option<(DateTime<Utc>, Role)>> {
        self.get_result(conn).optional()
    }
}

impl QueryFragment<Pg> for RotateNewest<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH session AS (UPDATE sessions AS s SET generation = s.generation + 1, \
             seen_generation = greatest(s.seen_generation, ",
        );
        out.push_bind_param::<Integer, _>(&self.seen)?;
        out.push_sql("), access_expires_at = greatest(s.access_expires_at, ");
        out.push_bind_param::<Timestamptz, _>(&self.access_expires_at)?;
        out.push_sql("), refresh_expires_at = least(s.expires_at, CASE WHEN s.remember THEN ");
        out.push_bind_param::<Timestamptz, _>(&self.remembered_until)?;
        out.push_sql(" ELSE ");
        out.push_bind_param::<Timestamptz, _>(&self.short_until)?;
        out.push_sql(" END), last_seen_at = ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(", user_agent = ");
        out.push_bind_param::<Nullable<Text>, _>(&self.user_agent)?;
        out.push_sql(", address = ");
        out.push_bind_param::<Inet, _>(&self.address)?;
        out.push_sql(" FROM refresh_tokens AS t WHERE s.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.presented.sid)?;
        out.push_sql(" AND s.user_id = ");
        out.push_bind_param::<SqlUuid, _>(&self.presented.sub)?;
        // Of two concurrent exchanges, the second finds another generation once it gets the row lock.
        out.push_sql(" AND s.generation = ");
        out.push_bind_param::<Integer, _>(&self.presented.generation)?;
        out.push_sql(" AND s.refresh_expires_at > ");
        out.push_bind_param::<Timestamptz, _>(&self.expired_before)?;
        out.push_sql(" AND t.session_id = ");
        out.push_bind_param::<SqlUuid, _>(&self.presented.sid)?;
        out.push_sql(" AND t.generation = ");
        out.push_bind_param::<Integer, _>(&self.presented.generation)?;
        out.push_sql(" AND t.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.presented.jti)?;
        out.push_sql(
            " RETURNING s.id, s.user_id, s.generation, s.refresh_expires_at), \
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
             SELECT id, generation, ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.next_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(
            ", refresh_expires_at FROM session) \
             SELECT refresh_expires_at, role FROM session JOIN users ON users.id = user_id",
        );
        Ok(())
    }
}

impl QueryId for RotateNewest<'_> {
    type QueryId = RotateNewest<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for RotateNewest<'_> {
    type SqlType = (Timestamptz, Text);
}

impl RunQueryDsl<PgConnection> for RotateNewest<'_> {}
