//! Answers `PATCH /api/v1/users/{id}`: changes an account, for admins.

use actix_web::{HttpRequest, HttpResponse, patch, web::Data};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    audit::{Event, EventKind},
    auth::{Auth, Ended, challenges},
    db::UserId,
    http::{
        Json, Path, Problem,
        etag::{self, IfMatch},
        kind, not_null, present,
    },
    tokens::{Admin, Client, Role},
    users::{self, AdminChange, Status, User, check_name, check_reason, check_username},
};

/// A JSON merge patch (RFC 7396): an absent field stays as it is, null clears a name or reason.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "admin"}))]
pub struct ChangeUser {
    /// 1 to 100 characters, at least one of them a letter, number, sign or symbol. Control characters and invisible
    /// characters are refused.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<Option<String>>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Unique, ignoring case. Reserved names are
    /// allowed.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_username"))]
    username: Option<Option<String>>,
    /// A change ends all sessions of the user, because access tokens contain the role.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Role, required = false)]
    role: Option<Role>,
    /// True disables the account: its sessions end, and a log-in gets a 403. False enables it again.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false)]
    disabled: Option<bool>,
    /// Why it is disabled, for other admins; at most 200 characters. Control characters and invisible characters are
    /// refused. Only together with `disabled: true`.
    #[schema(max_length = 200)]
    #[validate(custom(function = "check_reason"))]
    disabled_reason: Option<String>,
}

/// Change a user
///
/// For admins. Changes names and the role, and disables or enables the account. A change of the role and disabling take
/// effect with the user's next request everywhere. Disabling also revokes all API keys, for good; a change of the role
/// only those with `tokens:introspect`, because other keys have no rights of an admin. The last admin who can log in
/// cannot be demoted or disabled. With `If-Match`, the change is made only if the account has not changed since it was
/// read.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(
        ("id" = Uuid, Path, description = "The user's id."),
        ("If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.")
    ),
    responses(
        (status = 200, description = "The changed account.", body = User,
            headers(("ETag" = String, description = "The new entity tag."))),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: no such user, or it is deleted."),
        (status = 409, description = "`username-taken`, `last-admin`."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime.")
    )
)]
#[patch("/users/{id}")]
pub async fn change_user(
    admin: Admin,
    path: Path<UserId>,
    req: HttpRequest,
    client: Client,
    body: Json<ChangeUser>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let condition = IfMatch::of(&req)?;
    let (id, now) = (path.0, auth.now());
    let Json(ChangeUser { name, username, role, disabled, disabled_reason }) = body;
    if disabled_reason.is_some() && disabled != Some(true) {
        let message = "is allowed only together with `disabled: true`";
        return Err(Problem::invalid("/disabled_reason", "disabled", message));
    }
    let disabled = disabled.map(|disabled| disabled.then(|| disabled_reason.unwrap_or_default()));
    let change = move |conn: &mut PgConnection| -> Result<(User, Ended), Problem> {
        let before = users::lock(conn, id)?.filter(|user| user.status != Status::Deleted);
        let before = before.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
        condition.check(before.version)?;
        // Repeated without a reason, it changes nothing.
        let is_same = before.status == Status::Disabled && disabled == Some(Some(String::new()));
        let disabled = disabled.filter(|_| !is_same);
        let is_demoted = role.is_some_and(|role| role != before.role);
        let is_disabled = disabled.as_ref().is_some_and(Option::is_some);
        if before.role == Role::Admin && (is_demoted || is_disabled) {
            users::keep_an_admin(conn, id)?;
        }
        let event = |kind| Event::by_admin(kind, &admin, &client, id);
        if let Some(role) = role.filter(|_| is_demoted) {
            event(EventKind::RoleChanged).detail("role", role.as_str()).record(conn, now)?;
        }
        match &disabled {
            Some(Some(_)) => event(EventKind::UserDisabled).record(conn, now)?,
            Some(None) if before.status == Status::Disabled => {
                event(EventKind::UserEnabled).record(conn, now)?;
            }
            _ => {}
        }
        if name.is_some() || username.is_some() {
            event(EventKind::ProfileChanged).record(conn, now)?;
        }
        let user = users::change(conn, id, AdminChange { name, username, role, disabled }, now)?;
        if is_disabled {
            challenges::cancel_all(conn, id)?;
        }
        let ended = if is_disabled {
            Ended::all(conn, id, event(EventKind::ApiKeyRevoked), now)?
        } else if is_demoted {
            Ended::of_demoted(conn, id, event(EventKind::ApiKeyRevoked), now)?
        } else {
            Ended::default()
        };
        Ok((user, ended))
    };
    let (user, ended) = auth.db.tx(change).await?;
    ended.refuse(&auth);
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
