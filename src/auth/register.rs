use actix_web::{HttpResponse, http::header, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::{
    clock::Clock,
    db::{Db, constraint_violated},
    http::{ClientIp, Envelope, Json, Problem, RateLimits, kind},
    passwords,
    tokens::Role,
    users::{self, EmailAddress, NewUser, User, check_email, check_name, check_username},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_password", skip_on_field_errors = false))]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}))]
pub struct Register {
    /// Unique without regard to case; at most 254 bytes.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: String,
    /// 8 to 256 characters of any kind; common ones and your own address or name are refused.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    password: String,
    /// 1 to 100 characters, not only blanks and none of them control characters.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: Option<String>,
    /// 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit; unique in any case.
    #[schema(min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #[validate(custom(function = "check_username"))]
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
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 201, description = "The account.", body = User,
            headers(("Location" = String, description = "The account's address."))),
        (status = 409, description = "`email-taken`, `username-taken`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/register")]
pub async fn register(
    body: Json<Register>,
    address: ClientIp,
    db: Data<Db>,
    hasher: Data<passwords::Hasher>,
    limits: Data<RateLimits>,
    envelope: Data<Envelope>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    limits.check_address(super::PER_ADDRESS, address.0)?;
    let Json(Register { email, password, name, username }) = body;
    let email = EmailAddress::parse(&email).expect("validated");
    let hash = hasher.hash(password).await?;
    let new = NewUser::new(&email, hash, Role::User, clock.now()).named(name, username);
    let user: User = db.run(move |conn| users::insert(conn, &new).map_err(taken)).await?;
    let location = format!("{}/api/v1/users/{}", envelope.public_url, user.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(user))
}

fn taken(error: diesel::result::Error) -> Problem {
    match constraint_violated(&error) {
        Some("users_email_key") => Problem::new(&kind::EMAIL_TAKEN).field("/email", "taken", "is taken"),
        Some("users_username_key") => {
            Problem::new(&kind::USERNAME_TAKEN).field("/username", "taken", "is taken")
        }
        _ => error.into(),
    }
}
