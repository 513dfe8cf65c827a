//! Answers `PATCH /api/v1/user`: changes the name and username of the current user.

use actix_web::{HttpRequest, HttpResponse, patch, web::Data};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    model::{RESERVED_MESSAGE, User, check_name, check_username, is_reserved_username},
    store,
};
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::Db,
    http::{
        Json, Problem,
        etag::{self, IfMatch},
        present,
    },
    limits::Limits,
    tokens::{Client, CurrentUser, Refusal},
};

/// A JSON merge patch (RFC 7396): an absent field stays as it is, null clears it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada King", "username": "ada"}))]
pub struct UpdateMe {
    /// 1 to 100 characters, at least one of them a letter, number, sign or symbol. Control characters and invisible
    /// characters are refused.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<Option<String>>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Unique, ignoring case. Names such as `admin`
    /// or `support` are reserved; an account that has one may keep it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_username"))]
    username: Option<Option<String>>,
}

/// Change your account
///
/// Changes the name and the username. The password and the email address have endpoints of their own. With
/// `If-Match`, the change is made only if the account has not changed since it was read.
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
#[patch("/user")]
pub async fn update_me(
    req: HttpRequest,
    me: CurrentUser,
    client: Client,
    body: Json<UpdateMe>,
    limits: Data<Limits>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let Json(UpdateMe { name, username }) = body;
    change(&req, me, client, store::ProfileChange { name, username }, &limits, &db, &clock).await
}

/// Changes the account if the condition of the request holds, and responds with it.
pub(super) async fn change(
    req: &HttpRequest,
    me: CurrentUser,
    client: Client,
    change: store::ProfileChange,
    limits: &Limits,
    db: &Db,
    clock: &Clock,
) -> Result<HttpResponse, Problem> {
    let (condition, now) = (IfMatch::of(req)?, clock.now());
    limits.requests.count(req, limits.rates.changes, me.id.0.as_u128()).await?;
    let work = move |conn: &mut PgConnection| -> Result<User, Problem> {
        let user = store::find_for_update(conn, me.id)?.ok_or(Refusal::Revoked)?;
        condition.check(user.version)?;
        if let Some(Some(new)) = &change.username
            && is_reserved_username(new)
            && !user.username.as_ref().is_some_and(|old| old.eq_ignore_ascii_case(new))
        {
            return Err(Problem::invalid("/username", "reserved", RESERVED_MESSAGE));
        }
        if !change.changes(&user) {
            return Ok(user);
        }
        Event::by_user(EventKind::ProfileChanged, &me, &client).record(conn, now)?;
        store::update(conn, me.id, change, now).map_err(|error| match store::Taken::by(&error) {
            Some(taken) => taken.problem(),
            None => error.into(),
        })
    };
    let user = db.tx(work).await?;
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
