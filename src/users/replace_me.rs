//! Answers `PUT /api/v1/user`: replaces the name and username of the current user.

use actix_web::{HttpRequest, HttpResponse, put, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    model::{User, check_name, check_username},
    store::ProfileChange,
    update_me::change,
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Json, Problem},
    limits::Limits,
    tokens::{Client, CurrentUser},
};

/// What the account can be replaced with: an absent field is cleared.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada King", "username": "ada"}))]
pub struct ReplaceMe {
    /// 1 to 100 characters, at least one of them a letter, number, sign or symbol. Control characters and invisible
    /// characters are refused.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<String>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Unique, ignoring case. Names such as `admin`
    /// or `support` are reserved; an account that has one may keep it.
    #[schema(min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_username"))]
    username: Option<String>,
}

/// Replace your account
///
/// As `PATCH /api/v1/user`, for clients that send the whole account: a field that is absent is cleared.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    params((
        "If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.",
    )),
    responses(
        (status = 200, description = "The changed account.", body = User,
            headers(("ETag" = String, description = "The new entity tag."))),
        (status = 409, description = "`username-taken`."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime.")
    )
)]
#[put("/user")]
pub async fn replace_me(
    req: HttpRequest,
    me: CurrentUser,
    client: Client,
    body: Json<ReplaceMe>,
    limits: Data<Limits>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let Json(ReplaceMe { name, username }) = body;
    let all = ProfileChange { name: Some(name), username: Some(username) };
    change(&req, me, client, all, &limits, &db, &clock).await
}
