//! Registers an account.

use actix_web::{HttpResponse, http::header, post, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{
    Auth, admission,
    caller::Caller,
    challenges::{self, NewChallenge, Purpose, Subject},
    mails::{ConfirmationMail, RegistrationMail},
    new_password, store,
};
use crate::{
    audit::{Event, EventKind},
    db,
    http::{Envelope, Json, Problem},
    jobs,
    limits::Limits,
    passwords,
    tokens::Role,
    users::{self, EmailAddress, NewUser, Taken, User, check_name, check_new_email, check_new_username},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_password", skip_on_field_errors = false))]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}))]
pub struct Register {
    /// At most 254 bytes. Unique, ignoring case.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_new_email"))]
    email: String,
    /// 8 to 256 characters of any kind. Common passwords, your own address or name, and the name or address of
    /// this service are refused.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    password: String,
    /// 1 to 100 characters, at least one of them a letter, number, sign or symbol. Control characters and invisible
    /// characters are refused.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<String>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Unique, ignoring case. Names such as `admin`
    /// or `support` are reserved.
    #[schema(min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_new_username"))]
    username: Option<String>,
}

/// A rule of the whole body, because it compares the password with other fields.
fn check_password(body: &Register) -> Result<(), ValidationError> {
    let personal = [Some(body.email.as_str()), body.username.as_deref(), body.name.as_deref()];
    passwords::check(&body.password, &personal).map_err(|mut error| {
        error.add_param("field".into(), &"password");
        error
    })
}

/// Register an account
///
/// Creates an account with the role `user`. Log in to get tokens.
///
/// If the server requires confirmation, the response is always 202 after the same time, so that it does not reveal
/// accounts: the address is only looked up later, by the job that mails a link and a code, or a notice if an
/// account has the address. `POST /api/v1/auth/confirm` then creates the account and needs the password again.
///
/// The server may accept invited people only, or addresses of some domains: `GET /api/v1/auth/registration`. This is
/// decided before anything is looked up.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 201, description = "The account.", body = User,
            headers(("Location" = String, description = "URL of the account."))),
        (status = 202, description = "Confirmation is required: a mail is on its way."),
        (status = 403, description = "`registration-closed`, `email-domain-not-allowed`."),
        (status = 409, description = "`email-taken`, `username-taken`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/register")]
pub async fn register(
    Caller(client): Caller,
    body: Json<Register>,
    auth: Data<Auth>,
    envelope: Data<Envelope>,
) -> Result<HttpResponse, Problem> {
    let Json(Register { email, password, name, username }) = body;
    let email = EmailAddress::parse(&email).expect("validated");
    db::charge_to(email.canonical());
    admission::check_registration(&auth.accounts.registration, &email)?;
    new_password::check_all(&auth, &password, &[], "/password").await?;
    let (permit, now, limits) = (auth.hasher.reserve(client.network())?, auth.now(), auth.limits.clone());
    if auth.accounts.require_confirmation {
        // With a salt derived from the address, so that one hash of a confirmation's password can be compared with all
        // registrations of the address.
        let hash = permit.hash_with_salt(password, auth.challenge_keys.salt(&email)).await?;
        let expires_at = now + auth.accounts.registration_retention;
        let pending = store::Registration::new(email, name, username, hash, now, expires_at);
        auth.db.tx(move |conn| wait_for_confirmation(conn, &limits, &pending, now)).await?;
        return Ok(HttpResponse::Accepted().finish());
    }
    let hash = permit.hash(password).await?;
    let new = NewUser::new(email.clone(), hash, Role::User, now).named(name, username);
    let invites = auth.accounts.invite_confirmation;
    let create = move |conn: &mut PgConnection| -> Result<User, Problem> {
        let user = users::insert(conn, &new).map_err(|error| match Taken::by(&error) {
            Some(taken) => taken.problem(),
            None => error.into(),
        })?;
        Event::by_stranger(EventKind::Registered, user.id, &client).record(conn, now)?;
        if invites && super::may_mail(conn, &limits, limits.rates.mails.confirmation, &email, now)? {
            jobs::enqueue(conn, &ConfirmationMail { email: email.given().to_owned() }, now)?;
        }
        Ok(user)
    };
    let user = auth.db.tx(create).await?;
    let location = format!("{}/api/v1/users/{}", envelope.public_url, user.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(user))
}

/// Stores a pending registration. Never looks the address up, so that the response reveals no account. A username is
/// public, so `username-taken` may be answered.
fn wait_for_confirmation(
    conn: &mut PgConnection,
    limits: &Limits,
    pending: &store::Registration,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    if let Some(username) = &pending.username
        && users::is_username_taken(conn, username)?
    {
        return Err(Taken::Username.problem());
    }
    super::spend_mail(conn, limits, limits.rates.mails.confirmation, &pending.email, now)?;
    store::insert(conn, pending)?;
    let new = NewChallenge {
        purpose: Purpose::ConfirmEmail,
        subject: Subject::Registration(pending.id),
        email: &pending.email,
    };
    let challenge = challenges::open(conn, &new, now)?;
    jobs::enqueue(conn, &RegistrationMail { challenge }, now)?;
    Ok(())
}
