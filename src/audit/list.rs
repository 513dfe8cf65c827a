//! Answers `GET /api/v1/admin/audit` and `GET /api/v1/admin/audit.ndjson`: lists security events, for admins.

use std::net::IpAddr;

use actix_web::{
    HttpResponse, get,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    event::{Event, EventKind},
    store::{self, EventRow, Filter},
};
use crate::{
    clock::Clock,
    db::{Db, SessionId, UserId},
    http::{
        Problem, Query,
        page::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
        rows::{self, NDJSON, respond_rows, write_json_line},
    },
    tokens::{Admin, Client},
};

/// An export of one event.
const NDJSON_EXAMPLE: &str = concat!(
    r#"{"id":"0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1","at":"2026-11-20T09:30:00Z","kind":"logged-in","#,
    r#""actor":"user","actor_id":"0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1","#,
    r#""user_id":"0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1","session_id":null,"address":"203.0.113.9","#,
    r#""user_agent":null,"details":{},"sealed":true}"#,
    "\n"
);

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListEvents {
    // Documented by the operation that has pages.
    #[param(ignore)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    limit: Option<u32>,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<Cursor>,
    /// Only events of this kind.
    #[param(inline)]
    kind: Option<EventKind>,
    /// Only events about this account.
    #[param(value_type = Option<Uuid>)]
    user_id: Option<UserId>,
    /// Only what this user did.
    #[param(value_type = Option<Uuid>)]
    actor_id: Option<UserId>,
    /// Only events at this time or later (RFC 3339).
    after: Option<DateTime<Utc>>,
    /// Only events before this time (RFC 3339).
    before: Option<DateTime<Utc>>,
}

impl ListEvents {
    /// The filter, and the last event of the previous page.
    fn filter(self) -> (Filter, Option<Uuid>) {
        let Self { cursor, kind, user_id, actor_id, after, before, .. } = self;
        (Filter { kind, user: user_id, actor: actor_id, after, before }, cursor.map(|cursor| cursor.0))
    }
}

/// Something that happened to an account, a key or a right.
#[derive(Serialize, ToSchema)]
pub struct SecurityEvent {
    /// `UUIDv7` of the time of the event.
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    id: Uuid,
    at: DateTime<Utc>,
    #[schema(value_type = EventKind, inline)]
    kind: String,
    /// Who acted: `user`, with `actor_id`; `anonymous`, a person without a token; `operator`, at the command line; or
    /// `server`.
    #[schema(example = "user")]
    actor: String,
    #[schema(value_type = Option<Uuid>)]
    actor_id: Option<UserId>,
    /// The account that the event is about. Null if there is none, as for a wrong password of an unknown address.
    #[schema(value_type = Option<Uuid>)]
    user_id: Option<UserId>,
    /// The session that was used or ended.
    #[schema(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// IP address of the client. Null if there is none, and after the account was purged.
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    address: Option<IpAddr>,
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0")]
    user_agent: Option<String>,
    /// What else is known, by kind of event: for example `role` of `role-changed`.
    #[schema(value_type = Object, example = json!({"role": "admin"}))]
    details: Value,
    /// Whether the event is part of the hash chain. It is within seconds.
    #[schema(example = true)]
    sealed: bool,
}

impl From<EventRow> for SecurityEvent {
    fn from(row: EventRow) -> Self {
        let EventRow {
            id,
            at,
            kind,
            actor,
            actor_id,
            user_id,
            session_id,
            address,
            user_agent,
            details,
            sealed,
        } = row;
        let address = address.map(|network| network.addr());
        Self { id, at, kind, actor, actor_id, user_id, session_id, address, user_agent, details, sealed }
    }
}

#[derive(Serialize, ToSchema)]
pub struct SecurityEventList {
    /// The newest first.
    data: Vec<SecurityEvent>,
    /// Pass it as `cursor` to get the next page. Null on the last page.
    #[schema(value_type = Option<String>, example = "AZnzsFsKfMCxxUy786Ow8Q")]
    next_cursor: Option<Cursor>,
}

/// List security events
///
/// Lists log-ins, failures, changes of passwords, addresses, roles and keys, the newest first, for admins.
/// `GET /api/v1/admin/audit.ndjson` returns all of them that match in one response.
#[utoipa::path(
    tag = "audit",
    security(("admin" = [])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, example = 20,
            description = "Maximum number of events on the page; 20 by default."),
        ListEvents
    ),
    responses(
        (status = 200, description = "A page of events.", body = SecurityEventList),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/admin/audit")]
pub async fn list_events(
    _: Admin,
    query: Query<ListEvents>,
    db: Data<Db>,
) -> Result<Json<SecurityEventList>, Problem> {
    let limit = query.0.limit.unwrap_or(DEFAULT_LIMIT);
    let (filter, cursor) = query.0.filter();
    let rows = db.query(move |conn| store::list(conn, &filter, cursor, i64::from(limit) + 1)).await?;
    let (rows, next_cursor) = page::cut(rows, limit, |event| event.id);
    let data = rows.into_iter().map(SecurityEvent::from).collect();
    Ok(Json(SecurityEventList { data, next_cursor }))
}

/// Download security events as NDJSON
///
/// Returns all events that match, the newest first, one JSON object a line (NDJSON), for admins. The response is sent while
/// the events are read: one that breaks off is incomplete.
#[utoipa::path(
    tag = "audit",
    security(("admin" = [])),
    params(ListEvents),
    responses(
        (status = 200, description = "The events.", body = String, content_type = "application/x-ndjson",
            example = json!(NDJSON_EXAMPLE)),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/admin/audit.ndjson")]
pub async fn export_events(
    admin: Admin,
    client: Client,
    query: Query<ListEvents>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    page::refuse_limit(query.0.limit)?;
    let (filter, cursor) = query.0.filter();
    let (exported, now) = (Event::by_user(EventKind::EventsExported, &admin.0, &client), clock.now());
    db.query(move |conn| exported.record(conn, now)).await?;
    let fetch = move |after: Option<Uuid>| {
        let (db, filter, cursor) = (db.clone(), filter.clone(), after.or(cursor));
        async move {
            let limit = i64::from(rows::BATCH) + 1;
            let rows = db.query(move |conn| store::list(conn, &filter, cursor, limit)).await?;
            let (rows, next) = page::cut(rows, rows::BATCH, |event| event.id);
            Ok((rows.into_iter().map(SecurityEvent::from).collect(), next.map(|cursor| cursor.0)))
        }
    };
    respond_rows(NDJSON, Vec::new(), fetch, write_json_line).await
}
