use actix_web::{HttpResponse, http::header, post, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    challenges::{self, ChallengeKeys, NewChallenge, Purpose, Subject},
    mails::{ConfirmationMail, RegistrationMail},
    new_password, store,
};
use crate::{
    clock::Clock,
    config,
    db::{self, Db, constraint_violated},
    http::{ClientIp, Envelope, Json, Problem, kind},
    jobs,
    limits::Limits,
    passwords,
    tokens::Role,
    users::{self, EmailAddress, NewUser, User, check_name, check_new_email, check_new_username},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_password", skip_on_field_errors = false))]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}))]
pub struct Register {
    /// Unique without regard to case; at most 254 bytes.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_new_email"))]
    email: String,
    /// 8 to 256 characters of any kind; common ones and your own address or name are refused, and so are
    /// those of this service.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    password: String,
    /// 1 to 100 characters, of which at least one shows something; control characters and invisible
    /// ones are refused.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<String>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit; unique in any case.
    /// Names such as `admin` or `support` are reserved.
    #[schema(min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_new_username"))]
    username: Option<String>,
}

/// A schema-level rule, since it looks at the other fields as well.
fn check_password(body: &Register) -> Result<(), ValidationError> {
    let personal = [Some(body.email.as_str()), body.username.as_deref(), body.name.as_deref()];
    passwords::check(&body.password, &personal).map_err(|mut error| {
        error.add_param("field".into(), &"password");
        error
    })
}

/// Register
///
/// Creates an account with the role `user`. Log in to get tokens.
///
/// Where the server requires confirmation, the answer is always 202, in the same time, whether or
/// not the address has an account: that is looked up later, by the job that mails either a link and
/// a code or a notice. The account is there after `POST /api/v1/auth/confirm`, which asks for the password again.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 201, description = "The account.", body = User,
            headers(("Location" = String, description = "The account's address."))),
        (status = 202, description = "Confirmation is required: a mail is on its way."),
        (status = 409, description = "`email-taken`, `username-taken`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/register")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn register(
    body: Json<Register>,
    address: ClientIp,
    db: Data<Db>,
    hasher: Data<passwords::Hasher>,
    policy: Data<passwords::Policy>,
    limits: Data<Limits>,
    settings: Data<config::Accounts>,
    envelope: Data<Envelope>,
    keys: Data<ChallengeKeys>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    limits.requests.check_address(super::PER_ADDRESS, address.0)?;
    let Json(Register { email, password, name, username }) = body;
    let email = EmailAddress::parse(&email).expect("validated");
    db::charge_to(email.canonical());
    policy.check(&password, &[]).map_err(|error| new_password::invalid("/password", error))?;
    let (place, now) = (hasher.reserve(address.network())?, clock.now());
    if settings.require_confirmation {
        // With a salt of the address, so that the password of a confirmation can be compared with those
        // of all its registrations at once.
        let hash = place.hash_with_salt(password, keys.salt(&email)).await?;
        let pending = store::Registration::new(email, name, username, hash, now);
        db.tx(move |conn| wait_for_confirmation(conn, &limits, &pending, now)).await?;
        return Ok(HttpResponse::Accepted().finish());
    }
    let hash = place.hash(password).await?;
    let new = NewUser::new(email.clone(), hash, Role::User, now).named(name, username);
    let mail = settings.invite_confirmation.then(|| ConfirmationMail { email: email.given().to_owned() });
    let user: User = db
        .tx(move |conn| {
            let user = users::insert(conn, &new).map_err(taken)?;
            if let Some(mail) = mail
                && super::may_mail(conn, &limits, super::CONFIRMATIONS, &email, now)?
            {
                jobs::enqueue(conn, &mail, now)?;
            }
            Ok::<_, Problem>(user)
        })
        .await?;
    let location = format!("{}/api/v1/users/{}", envelope.public_url, user.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(user))
}

/// Never looks at the address. A username is no secret, and its owner is not told of here.
fn wait_for_confirmation(
    conn: &mut PgConnection,
    limits: &Limits,
    pending: &store::Registration,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    if let Some(username) = &pending.username
        && users::is_username_taken(conn, username)?
    {
        return Err(username_taken());
    }
    super::spend_mail(conn, limits, super::CONFIRMATIONS, &pending.email, now)?;
    store::insert(conn, pending)?;
    let new = NewChallenge {
        purpose: Purpose::ConfirmEmail,
        subject: Subject::Registration(pending.id),
        email: &pending.email,
    };
    let challenge = Uuid::now_v7();
    challenges::open(conn, challenge, &new, now)?;
    jobs::enqueue(conn, &RegistrationMail { challenge }, now)?;
    Ok(())
}

fn taken(error: diesel::result::Error) -> Problem {
    match constraint_violated(&error) {
        Some("users_email_key" | "users_email_reserved") => {
            Problem::new(&kind::EMAIL_TAKEN).field("/email", "taken", "is taken")
        }
        Some("users_username_key") => username_taken(),
        _ => error.into(),
    }
}

fn username_taken() -> Problem {
    Problem::new(&kind::USERNAME_TAKEN).field("/username", "taken", "is taken")
}
