//! The exchange of a session's newest refresh token, the only one that an honest client has
//! unless something went wrong, as one statement: one round trip, and no lock held between two.
//!
//! Diesel's DSL has no data-modifying WITH, and `sql_query` is planned anew each time; this
//! fragment is kept prepared.

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

use super::{jwt::RefreshClaims, role::Role};

/// What becomes of the session and its tokens if the presented one is the newest.
pub(super) struct RotateNewest<'a> {
    pub claims: &'a RefreshClaims,
    pub next_id: Uuid,
    pub seen: i32,
    pub user_agent: Option<&'a str>,
    pub address: IpNet,
    pub now: DateTime<Utc>,
    pub access_expires_at: DateTime<Utc>,
    /// When the next refresh token expires, with and without "remember", within the session's limit.
    pub refresh_expires_at: (DateTime<Utc>, DateTime<Utc>),
}

impl RotateNewest<'_> {
    /// When the next token expires, and the user's role; None if this was not the newest token.
    pub fn run(self, conn: &mut PgConnection) -> QueryResult<Option<(DateTime<Utc>, Role)>> {
        self.get_result(conn).optional()
    }
}

impl QueryFragment<Pg> for RotateNewest<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let claims = self.claims;
        out.push_sql("WITH session AS (UPDATE sessions SET generation = generation + 1, seen_generation = greatest(seen_generation, ");
        out.push_bind_param::<Integer, _>(&self.seen)?;
        out.push_sql("), access_expires_at = greatest(access_expires_at, ");
        out.push_bind_param::<Timestamptz, _>(&self.access_expires_at)?;
        out.push_sql("), refresh_expires_at = least(expires_at, CASE WHEN remember THEN ");
        out.push_bind_param::<Timestamptz, _>(&self.refresh_expires_at.0)?;
        out.push_sql(" ELSE ");
        out.push_bind_param::<Timestamptz, _>(&self.refresh_expires_at.1)?;
        out.push_sql(" END), last_seen_at = ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(", user_agent = ");
        out.push_bind_param::<Nullable<Text>, _>(&self.user_agent)?;
        out.push_sql(", address = ");
        out.push_bind_param::<Inet, _>(&self.address)?;
        // Of two that race, the second finds another generation once it gets the row.
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<SqlUuid, _>(&claims.sid)?;
        out.push_sql(" AND user_id = ");
        out.push_bind_param::<SqlUuid, _>(&claims.sub)?;
        out.push_sql(" AND generation = ");
        out.push_bind_param::<Integer, _>(&claims.generation)?;
        out.push_sql(" AND EXISTS (SELECT FROM refresh_tokens WHERE session_id = ");
        out.push_bind_param::<SqlUuid, _>(&claims.sid)?;
        out.push_sql(" AND generation = ");
        out.push_bind_param::<Integer, _>(&claims.generation)?;
        out.push_sql(" AND id = ");
        out.push_bind_param::<SqlUuid, _>(&claims.jti)?;
        out.push_sql(") RETURNING id, user_id, generation, refresh_expires_at), old AS (UPDATE refresh_tokens AS t SET rotated_at = ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(" FROM session WHERE t.session_id = session.id AND t.generation = session.generation - 1), \
                      new AS (INSERT INTO refresh_tokens (session_id, generation, id, issued_at, expires_at) SELECT id, generation, ");
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
