//! Answers `GET /api/v1/user/events`: lists security events of the current user.

use std::net::IpAddr;

use actix_web::{
    get,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    event::EventKind,
    store::{self, EventRow, Filter},
};
use crate::{
    db::{Db, SessionId, UserId},
    http::{
        Problem, Query,
        page::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
    },
    tokens::CurrentUser,
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListMyEvents {
    /// Maximum number of events on the page.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    limit: u32,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<Cursor>,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

/// Something that happened to your account.
#[derive(Serialize, ToSchema)]
pub struct MySecurityEvent {
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    id: Uuid,
    at: DateTime<Utc>,
    #[schema(value_type = EventKind, inline)]
    kind: String,
    /// Who acted: `you`; `admin`, another user with the role `admin`; `anonymous`, a person without a token, who may be
    /// you at a log-in; `operator`, a person who runs this service; or `server`.
    #[schema(example = "you")]
    actor: &'static str,
    /// The session that was used or ended; null if an admin acted.
    #[schema(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// IP address of the client; null if an admin acted.
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    address: Option<IpAddr>,
    /// Null if an admin acted.
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0")]
    user_agent: Option<String>,
    /// What else is known, by kind of event.
    #[schema(value_type = Object, example = json!({"role": "admin"}))]
    details: Value,
}

impl MySecurityEvent {
    fn of(row: EventRow, me: UserId) -> Self {
        let actor = match row.actor.as_str() {
            "user" if row.actor_id == Some(me) => "you",
            "user" => "admin",
            "anonymous" => "anonymous",
            "operator" => "operator",
            _ => "server",
        };
        // The session of an admin, and where it is, is not the user's business.
        let (session_id, address, user_agent) = match actor {
            "admin" => (None, None, None),
            _ => (row.session_id, row.address.map(|network| network.addr()), row.user_agent),
        };
        let EventRow { id, at, kind, details, .. } = row;
        Self { id, at, kind, actor, session_id, address, user_agent, details }
    }
}

/// Lists events of a user as its owner sees them, the newest first, from the one before `cursor` on. Also returns where
/// the next ones begin.
pub fn list_of(
    conn: &mut PgConnection,
    user: UserId,
    cursor: Option<Uuid>,
    limit: u32,
) -> QueryResult<(Vec<MySecurityEvent>, Option<Uuid>)> {
    let filter = Filter { user: Some(user), ..Filter::default() };
    let rows = store::list(conn, &filter, cursor, i64::from(limit) + 1)?;
    let (rows, next) = page::cut(rows, limit, |event| event.id);
    let events = rows.into_iter().map(|row| MySecurityEvent::of(row, user)).collect();
    Ok((events, next.map(|cursor| cursor.0)))
}

#[derive(Serialize, ToSchema)]
pub struct MySecurityEventList {
    /// The newest first.
    data: Vec<MySecurityEvent>,
    /// Pass it as `cursor` to get the next page. Null on the last page.
    #[schema(value_type = Option<String>, example = "AZnzsFsKfMCxxUy786Ow8Q")]
    next_cursor: Option<Cursor>,
}

/// List what happened to your account
///
/// Lists log-ins, wrong passwords, and changes of your password, address, role and keys, the newest first.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    params(ListMyEvents),
    responses((status = 200, description = "A page of events.", body = MySecurityEventList))
)]
#[get("/user/events")]
pub async fn list_my_events(
    me: CurrentUser,
    query: Query<ListMyEvents>,
    db: Data<Db>,
) -> Result<Json<MySecurityEventList>, Problem> {
    let Query(ListMyEvents { limit, cursor }) = query;
    let cursor = cursor.map(|cursor| cursor.0);
    let (data, next) = db.query(move |conn| list_of(conn, me.id, cursor, limit)).await?;
    Ok(Json(MySecurityEventList { data, next_cursor: next.map(Cursor) }))
}
