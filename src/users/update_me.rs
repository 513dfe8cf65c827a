//! Answers `PATCH /api/v1/user`: changes the name and username of the current user.

use actix_web::{HttpRequest, HttpResponse, patch, web::Data};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    model::{RESERVED_MESSAGE, User, check_name, check_username, is_reserved_username},
    store,
};
use crate::{
    clock::Clock,
    db::Db,
    http::{
        Json, Problem,
        etag::{self, IfMatch},
    },
    tokens::{CurrentUser, Refusal},
};

/// What to change: a field that is not there stays, null clears it (RFC 7396).
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada King", "username": "ada"}))]
pub struct UpdateMe {
    /// 1 to 100 characters, of which at least one shows something; control characters and invisible
    /// ones are refused.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<Option<String>>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit; unique in any case.
    /// Names such as `admin` or `support` are reserved; an account that has one keeps it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_username"))]
    username: Option<Option<String>>,
}

/// Tells `null` (inner None) from an absent field (outer None).
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change your account
///
/// Changes name and username; everything else has its own way. With `If-Match`, only if the
/// account is still the one that was read.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    params((
        "If-Match" = Option<String>, Header, description = "The `ETag` that was read.",
        pattern = r#"^(\*|(W/)?"[!#-+\--~]*"(, ?(W/)?"[!#-+\--~]*")*)$"#,
    )),
    responses(
        (status = 200, description = "The changed account.", body = User,
            headers(("ETag" = String, description = "The new entity tag."))),
        (status = 409, description = "`username-taken`."),
        (status = 412, description = "`precondition-failed`: it has changed meanwhile.")
    )
)]
#[patch("/user")]
pub async fn update_me(
    req: HttpRequest,
    me: CurrentUser,
    body: Json<UpdateMe>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let condition = IfMatch::of(&req)?;
    let Json(UpdateMe { name, username }) = body;
    let change = store::ProfileChange { name, username };
    let now = clock.now();
    let user: User = db
        .tx(move |conn| {
            let user = store::find_for_update(conn, me.id)?.ok_or(Refusal::Revoked)?;
            condition.check(user.version)?;
            if let Some(Some(new)) = &change.username
                && is_reserved_username(new)
                && !user.username.is_some_and(|old| old.eq_ignore_ascii_case(new))
            {
                return Err(Problem::invalid("/username", "reserved", RESERVED_MESSAGE));
            }
            store::update(conn, me.id, change, now).map_err(|error| match store::Taken::by(&error) {
                Some(taken) => taken.problem(),
                None => error.into(),
            })
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
