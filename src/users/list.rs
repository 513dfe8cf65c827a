//! Answers `GET /api/v1/users`: lists accounts, for admins.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{email::EmailAddress, model::User, store};
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
    /// Maximum number of users on the page.
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
/// For admins. Lists accounts in the order of registration. Every page takes the same time (keyset pagination).
#[utoipa::path(
    tag = "users",
    security(("bearer" = [])),
    params(ListUsers),
    responses(
        (status = 200, description = "A page of users.", body = UserList),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/users")]
pub async fn list_users(_: Admin, query: Query<ListUsers>, db: Data<Db>) -> Result<Json<UserList>, Problem> {
    let Query(query) = query;
    let parse = |text: String| {
        EmailAddress::parse(&text)
            .ok_or_else(|| Problem::invalid("/email", "email", "must be an e-mail address"))
    };
    let filter = store::Filter {
        email: query.email.map(parse).transpose()?,
        role: query.role,
        prefix: query.q,
        after: query.cursor.map(|cursor| UserId(cursor.0)),
    };
    let limit = query.limit;
    let rows = db.query(move |conn| store::list(conn, filter, i64::from(limit) + 1)).await?;
    let (data, next_cursor) = page::cut(rows, limit, |user| user.id.0);
    Ok(Json(UserList { data, next_cursor }))
}
