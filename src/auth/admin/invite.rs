//! Answers `POST /api/v1/users`: invites a person, for admins.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    audit::{Event, EventKind},
    auth::{Auth, admission, mails::InvitationMail},
    http::{Envelope, Json, Problem},
    idempotency::{IdempotencyKey, Reply},
    jobs, passwords,
    tokens::{Admin, Client, Role},
    users::{self, EmailAddress, NewUser, Taken, User, check_name, check_new_email, check_username},
};

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "grace@example.com", "name": "Grace Hopper"}))]
pub struct InviteUser {
    /// At most 254 bytes. Unique, ignoring case.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_new_email"))]
    email: String,
    /// 1 to 100 characters, at least one of them a letter, number, sign or symbol. Control characters and invisible
    /// characters are refused.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<String>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Unique, ignoring case. Reserved names are
    /// allowed.
    #[schema(min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_username"))]
    username: Option<String>,
    /// `user` if it is absent.
    #[schema(inline)]
    role: Option<Role>,
}

/// Invite a user
///
/// For admins. Creates an account without a password and mails the person a link to choose one, which works for 7 days.
/// Until then its status is `invited`, and no log-in is possible. An admin never knows a user's password. The address may
/// have any domain, also with `REGISTRATION_DOMAINS`; with `REGISTRATION=closed` no one can be invited.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "A new value for each new user, such as a UUID. A request that is repeated with the same value and body \
            within 24 hours gets the same response and sends no second invitation.",
    )),
    responses(
        (status = 201, description = "The account. A mail is on its way.", body = User,
            headers(
                ("Location" = String, description = "URL of the account."),
                ("Idempotency-Replayed" = bool, description = "`true` if an earlier response is repeated.")
            )),
        (status = 403, description = "`forbidden`: not an admin; `registration-closed`."),
        (status = 409, description = "`email-taken`, `username-taken`, `idempotency-key-in-use`."),
        (status = 422, description = "`validation-failed`, `idempotency-key-reused`."),
        (status = 429, description = "`too-many-requests`: too many mails to this address.")
    )
)]
#[post("/users")]
pub async fn invite_user(
    admin: Admin,
    req: HttpRequest,
    client: Client,
    body: Json<InviteUser>,
    auth: Data<Auth>,
    envelope: Data<Envelope>,
) -> Result<HttpResponse, Problem> {
    admission::check_invitation(&auth.accounts.registration)?;
    let key = IdempotencyKey::of(&req, admin.0.id)?;
    let Json(InviteUser { email, name, username, role }) = body;
    let email = EmailAddress::parse(&email).expect("validated");
    let role = role.unwrap_or(Role::User);
    let (now, limits, sealer) = (auth.now(), auth.limits.clone(), auth.sealer.clone());
    let users_url = format!("{}/api/v1/users", envelope.public_url);
    let invite = move |conn: &mut PgConnection| -> Result<Reply, Problem> {
        let new = NewUser::new(email.clone(), passwords::UNUSABLE.into(), role, now).named(name, username);
        let user: User = users::insert(conn, &new).map_err(|error| match Taken::by(&error) {
            Some(taken) => taken.problem(),
            None => error.into(),
        })?;
        crate::auth::spend_mail(conn, &limits, limits.rates.mails.confirmation, &email, now)?;
        jobs::enqueue(conn, &InvitationMail { user: user.id }, now)?;
        Event::by_admin(EventKind::UserInvited, &admin, &client, user.id)
            .detail("role", role.as_str())
            .record(conn, now)?;
        Reply::created(&user, Some(format!("{users_url}/{}", user.id)))
    };
    let reply = auth.db.tx(move |conn| key.once(conn, &sealer, now, invite)).await?;
    Ok(reply.respond())
}
