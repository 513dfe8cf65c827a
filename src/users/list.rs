//! Answers `GET /api/v1/users`: lists accounts, for admins, as pages or as an export of all.

use actix_web::{HttpRequest, HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    csv,
    email::EmailAddress,
    model::{Status, User},
    store::{self, Filter},
};
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::{Db, UserId},
    http::{
        Problem, Query, accept,
        page::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
        rows::{self, NDJSON, respond_rows, write_json_line},
    },
    tokens::{Admin, Client, Role},
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListUsers {
    /// Maximum number of users on the page. Without effect on an export.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    limit: u32,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<Cursor>,
    /// Only users whose e-mail address, username or name starts with this text, ignoring case; 1 to 100 characters.
    #[param(min_length = 1, max_length = 100)]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    q: Option<String>,
    /// Only the user with this address, in any spelling.
    #[param(format = "email", max_length = 254)]
    email: Option<String>,
    /// Only users with this role.
    #[param(inline)]
    role: Option<Role>,
    /// Only users with this status. Without it, all but the deleted ones.
    #[param(inline)]
    status: Option<Status>,
    /// Only accounts made at this time or later (RFC 3339).
    created_after: Option<DateTime<Utc>>,
    /// Only accounts made before this time (RFC 3339).
    created_before: Option<DateTime<Utc>>,
    /// Only users who have not logged in since this time (RFC 3339), or never and registered before it.
    last_login_before: Option<DateTime<Utc>>,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

#[derive(Serialize, ToSchema)]
pub struct UserList {
    /// In the order of registration.
    data: Vec<User>,
    /// Pass it as `cursor` to get the next page. Null on the last page.
    #[schema(value_type = Option<String>, example = "AZnzsFsKfMCxxUy786Ow8Q")]
    next_cursor: Option<Cursor>,
}

/// List users
///
/// For admins. Lists accounts in the order of registration. Every page takes the same time (keyset pagination); the
/// field `Link` has the address of the next one. `Accept: text/csv` or `application/x-ndjson` streams all accounts that
/// match, one a line.
#[utoipa::path(
    tag = "users",
    security(("bearer" = [])),
    params(ListUsers),
    responses(
        (status = 200, description = "A page of users, or all as CSV or newline-delimited JSON.",
            content((UserList = "application/json"), (String = "text/csv"), (String = "application/x-ndjson")),
            headers(("Link" = String, description = "`<…>; rel=\"next\"`, unless it is the last page (RFC 8288)."))),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/users")]
pub async fn list_users(
    admin: Admin,
    req: HttpRequest,
    client: Client,
    query: Query<ListUsers>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let (limit, cursor) = (query.limit, query.cursor.map(|cursor| UserId(cursor.0)));
    let filter = query.filter()?;
    let format = accept::prefers(&req, NDJSON, "application/json").then_some(NDJSON);
    let format = format.or_else(|| accept::prefers(&req, csv::TYPE, "application/json").then_some(csv::TYPE));
    let Some(format) = format else {
        return page(&req, &db, filter, cursor, limit).await;
    };
    let exported = Event::by_user(EventKind::UsersExported, &admin.0, &client);
    let now = clock.now();
    db.query(move |conn| exported.record(conn, now)).await?;
    let fetch = move |after: Option<UserId>| {
        let (db, filter, after) = (db.clone(), filter.clone(), after.or(cursor));
        async move {
            let limit = i64::from(rows::BATCH) + 1;
            let rows = db.query(move |conn| store::list(conn, &filter, after, limit)).await?;
            let (rows, next) = page::cut(rows, rows::BATCH, |user| user.id.0);
            Ok((rows, next.map(|cursor| UserId(cursor.0))))
        }
    };
    if format == NDJSON {
        respond_rows(NDJSON, Vec::new(), fetch, write_json_line::<User>).await
    } else {
        respond_rows("text/csv; charset=utf-8; header=present", csv::heading(), fetch, csv::write).await
    }
}

async fn page(
    req: &HttpRequest,
    db: &Db,
    filter: Filter,
    after: Option<UserId>,
    limit: u32,
) -> Result<HttpResponse, Problem> {
    let rows = db.query(move |conn| store::list(conn, &filter, after, i64::from(limit) + 1)).await?;
    let (data, next_cursor) = page::cut(rows, limit, |user| user.id.0);
    let mut response = HttpResponse::Ok();
    if let Some(cursor) = &next_cursor {
        response.insert_header((header::LINK, page::next_link(req, cursor)));
    }
    Ok(response.json(UserList { data, next_cursor }))
}

impl ListUsers {
    fn filter(self) -> Result<Filter, Problem> {
        let parse = |text: String| {
            EmailAddress::parse(&text)
                .ok_or_else(|| Problem::invalid("/email", "email", "must be an e-mail address"))
        };
        let Self { q, email, role, status, created_after, created_before, last_login_before, .. } = self;
        let email = email.map(parse).transpose()?;
        Ok(Filter { email, role, status, created_after, created_before, last_login_before, prefix: q })
    }
}
