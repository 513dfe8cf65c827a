use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Deserialize;
use utoipa::IntoParams;
use validator::Validate;

use super::{email::EmailAddress, model::User, store};
use crate::{
    db::Db,
    http::{
        Problem, Query,
        page::{Cursor, DEFAULT_LIMIT, MAX_LIMIT, Page},
    },
    tokens::{Admin, Role},
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListUsers {
    /// Users on a page.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    limit: u32,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// Start of an e-mail address, username or name, in any case; 1 to 100 characters.
    #[param(min_length = 1, max_length = 100, example = "ad")]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    q: Option<String>,
    /// Exactly this address, in any spelling.
    #[param(example = "ada@example.com")]
    email: Option<String>,
    /// Only users with this role.
    role: Option<Role>,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

/// List users
///
/// For admins. In the order of registration; a page costs the same however far back it is.
#[utoipa::path(
    tag = "users",
    security(("bearer" = [])),
    params(ListUsers),
    responses(
        (status = 200, description = "A page of users.", body = Page<User>),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/users")]
pub async fn list_users(
    _: Admin,
    query: Query<ListUsers>,
    db: Data<Db>,
) -> Result<Json<Page<User>>, Problem> {
    let Query(query) = query;
    let parse = |text: String| {
        EmailAddress::parse(&text)
            .ok_or_else(|| Problem::invalid("/email", "email", "must be an e-mail address"))
    };
    let filter = store::Filter {
        email: query.email.map(parse).transpose()?,
        role: query.role,
        prefix: query.q,
        after: query.cursor.map(|cursor| cursor.0),
    };
    let limit = query.limit;
    let rows = db.run(move |conn| Ok::<_, Problem>(store::list(conn, filter, i64::from(limit) + 1)?)).await?;
    Ok(Json(Page::from_rows(rows, limit, |user| user.id)))
}
