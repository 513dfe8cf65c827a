//! Lists the sessions of the current user.

use std::net::IpAddr;

use actix_web::{
    get,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::Auth;
use crate::{
    db::SessionId,
    http::Problem,
    tokens::{
        CurrentUser,
        sessions::{self, Session},
    },
};

#[derive(Serialize, ToSchema)]
pub struct SessionList {
    /// The most recently used first; at most 100.
    data: Vec<SessionBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionBody {
    #[schema(value_type = Uuid, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    id: SessionId,
    /// Whether this is the session of the request.
    #[schema(example = true)]
    current: bool,
    created_at: DateTime<Utc>,
    /// Last use, to the minute.
    last_seen_at: DateTime<Utc>,
    /// When the session ends unless it is refreshed.
    expires_at: DateTime<Utc>,
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0")]
    user_agent: Option<String>,
    /// IP address of the log-in, or of the last refresh with the newest refresh token.
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    address: Option<IpAddr>,
}

/// List your sessions
///
/// Lists the sessions of your account that have not ended, the most recently used first; at most 100. Each log-in
/// starts one.
#[utoipa::path(
    tag = "sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "The sessions.", body = SessionList))
)]
#[get("/auth/sessions")]
pub async fn list_sessions(me: CurrentUser, auth: Data<Auth>) -> Result<Json<SessionList>, Problem> {
    let now = auth.now();
    let rows: Vec<Session> = auth.db.query(move |conn| sessions::list(conn, me.id, now)).await?;
    let body = |session: Session| SessionBody {
        id: session.id,
        current: session.id == me.session,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.refresh_expires_at,
        user_agent: session.user_agent,
        address: session.address.map(|network| network.addr()),
    };
    Ok(Json(SessionList { data: rows.into_iter().map(body).collect() }))
}
