//! Exchanges a refresh token for the next *generation* of its session. [`reuse`](super::reuse) decides about tokens
//! that were exchanged before.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};
use uuid::Uuid;

use super::{
    claims::RefreshClaims, client::Client, jwt::LEEWAY, lifetimes::Lifetimes, role::Role,
    rotation::RotateNewest,
};
use crate::db::{SessionId, UserId, schema::refresh_tokens};

/// The tokens to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    pub claims: RefreshClaims,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = refresh_tokens)]
pub(super) struct RefreshToken {
    pub(super) session_id: SessionId,
    generation: i32,
    id: Uuid,
    issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
}

impl RefreshToken {
    pub(super) fn new(
        session_id: SessionId,
        generation: i32,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self { session_id, generation, id: Uuid::now_v7(), issued_at: now, expires_at }
    }

    /// Inserts the row column by column: with an `Option`, diesel would not keep the statement prepared.
    pub(super) fn insert(&self, conn: &mut PgConnection) -> QueryResult<()> {
        diesel::insert_into(refresh_tokens::table)
            .values((
                refresh_tokens::session_id.eq(self.session_id),
                refresh_tokens::generation.eq(self.generation),
                refresh_tokens::id.eq(self.id),
                refresh_tokens::issued_at.eq(self.issued_at),
                refresh_tokens::expires_at.eq(self.expires_at),
            ))
            .execute(conn)?;
        Ok(())
    }

    pub(super) fn grant(self, user: UserId, role: Role) -> Grant {
        Grant {
            role,
            claims: RefreshClaims {
                sub: user,
                sid: self.session_id,
                jti: self.id,
                generation: self.generation,
            },
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        }
    }
}

/// A refresh token of a request, and the client that sent it.
#[derive(Debug)]
pub struct Presented {
    pub claims: RefreshClaims,
    pub expires_at: DateTime<Utc>,
    /// The newest generation whose access token this replica has seen.
    pub seen_here: Option<i32>,
    pub client: Client,
}

/// The result of an exchange.
#[derive(Debug)]
pub enum Exchange {
    Granted(Grant),
    /// The token is not the newest of its session, or has expired: [`reuse::settle`](super::reuse::settle) decides.
    NotNewest(Presented),
}

/// Exchanges the refresh token if it is the newest of its session, and has not expired.
pub fn exchange(conn: &mut PgConnection, presented: Presented, times: &Lifetimes) -> QueryResult<Exchange> {
    let Presented { claims, seen_here, client, .. } = &presented;
    let next_id = Uuid::now_v7();
    let rotated = RotateNewest {
        presented: claims,
        next_id,
        seen: seen_here.unwrap_or(-1),
        user_agent: client.user_agent.as_deref(),
        address: client.address.into(),
        now: times.now,
        expired_before: times.now - LEEWAY,
        access_expires_at: times.access_expires_at,
        remembered_until: times.now + times.remembered.idle,
        short_until: times.now + times.short.idle,
        settled_before: times.now - times.grace,
    }
    .run(conn)?;
    let Some((expires_at, role)) = rotated else {
        return Ok(Exchange::NotNewest(presented));
    };
    let claims =
        RefreshClaims { jti: next_id, generation: claims.generation + 1, sub: claims.sub, sid: claims.sid };
    Ok(Exchange::Granted(Grant { role, claims, issued_at: times.now, expires_at }))
}
