//! Lists the sessions of a user, for admins.

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
    db::{SessionId, UserId},
    http::{Path, Problem},
    tokens::{
        Admin,
        sessions::{self, Session},
    },
    users,
};

#[derive(Serialize, ToSchema)]
pub struct UserSessionList {
    /// The most recently used first; at most 100.
    data: Vec<UserSession>,
}

#[derive(Serialize, ToSchema)]
pub struct UserSession {
    #[schema(value_type = Uuid, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    id: SessionId,
    created_at: DateTime<Utc>,
    /// Last use, to the minute.
    last_seen_at: DateTime<Utc>,
    /// When it ends if it is not refreshed.
    expires_at: DateTime<Utc>,
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0")]
    user_agent: Option<String>,
    /// Address of the log-in, or of the last exchange of the newest refresh token.
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    address: Option<IpAddr>,
}

impl From<Session> for UserSession {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.refresh_expires_at,
            user_agent: session.user_agent,
            address: session.address.map(|network| network.addr()),
        }
    }
}

/// List a user's sessions
///
/// For admins. Lists the sessions that have not ended, the most recently used first; at most 100. Time, `User-Agent` and
/// address help to recognise a log-in that is not the user's.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(("id" = Uuid, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The sessions.", body = UserSessionList),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user.")
    )
)]
#[get("/users/{id}/sessions")]
pub async fn list_user_sessions(
    _: Admin,
    path: Path<UserId>,
    auth: Data<Auth>,
) -> Result<Json<UserSessionList>, Problem> {
    let (user, now) = (path.0, auth.now());
    let sessions = auth
        .db
        .query(move |conn| {
            users::find_account(conn, user)?.ok_or(diesel::NotFound)?; // a NotFound is answered 404
            sessions::list(conn, user, now)
        })
        .await?;
    Ok(Json(UserSessionList { data: sessions.into_iter().map(UserSession::from).collect() }))
}
