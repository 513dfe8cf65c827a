//! Answers `GET /api/v1/users`: lists accounts page by page, for admins.

use actix_web::{HttpRequest, HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    email::EmailAddress,
    model::{Status, User},
    store::{self, Filter},
};
use crate::{
    db::{Db, UserId},
    http::{
        Problem, Query,
        page::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
    },
    tokens::{Admin, Role},
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListUsers {
    // Documented by the operation that has pages.
    #[param(ignore)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    pub limit: Option<u32>,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<Cursor>,
    /// Only users whose email address, username or name starts with this text, ignoring case; 1 to 100 characters.
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
/// Lists accounts in the order of registration, for admins. Every page takes the same time (keyset pagination); the field
/// `Link` has the address of the next one. `GET /api/v1/users.csv` and `GET /api/v1/users.ndjson` return all accounts that
/// match in one response.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, example = 20,
            description = "Maximum number of users on the page; 20 by default."),
        ListUsers
    ),
    responses(
        (status = 200, description = "A page of users.", body = UserList,
            headers(("Link" = String, description = "`<…>; rel=\"next\"`, unless it is the last page (RFC 8288)."))),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/users")]
pub async fn list_users(
    _: Admin,
    req: HttpRequest,
    query: Query<ListUsers>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let (limit, after) = (query.limit.unwrap_or(DEFAULT_LIMIT), query.after());
    let filter = query.filter()?;
    let rows = db.query(move |conn| store::list(conn, &filter, after, i64::from(limit) + 1)).await?;
    let (data, next_cursor) = page::cut(rows, limit, |user| user.id.0);
    let mut response = HttpResponse::Ok();
    if let Some(cursor) = &next_cursor {
        response.insert_header((header::LINK, page::next_link(&req, cursor)));
    }
    Ok(response.json(UserList { data, next_cursor }))
}

impl ListUsers {
    /// The last user of the previous page.
    pub fn after(&self) -> Option<UserId> {
        self.cursor.as_ref().map(|cursor| UserId(cursor.0))
    }

    /// # Errors
    /// `validation-failed`.
    pub fn filter(self) -> Result<Filter, Problem> {
        let parse = |text: String| {
            EmailAddress::parse(&text)
                .ok_or_else(|| Problem::invalid("/email", "email", "must be an email address"))
        };
        let Self { q, email, role, status, created_after, created_before, last_login_before, .. } = self;
        let email = email.map(parse).transpose()?;
        Ok(Filter { email, role, status, created_after, created_before, last_login_before, prefix: q })
    }
}
