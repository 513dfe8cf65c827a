use actix_web::{HttpResponse, post, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    mails::{Notice, NoticeMail},
    new_password,
    proof::{Proof, check_code, check_proof, refused},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{ClientIp, Json, Problem, RateLimits},
    jobs, passwords,
    tokens::{
        Blocklist, ChallengeKeys, Ended,
        challenges::{self, Challenge, Purpose},
        sessions::{self, Which},
    },
    users::{self, check_email},
};

/// Either `token` from the link, or `email` and `code`; and the new password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check"))]
#[schema(example = json!({"email": "ada@example.com", "code": "123456", "new_password": "a horse of another colour"}))]
pub struct ResetPassword {
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    token: Option<String>,
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: Option<String>,
    #[schema(pattern = "^[0-9]{6}$")]
    #[validate(custom(function = "check_code"))]
    code: Option<String>,
    /// 8 to 256 characters of any kind; common ones and your own address or name are refused.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    #[validate(custom(function = "new_password::check"))]
    new_password: String,
}

fn check(body: &ResetPassword) -> Result<(), ValidationError> {
    check_proof(body.token.is_some(), body.email.is_some(), body.code.is_some())
}

/// Reset the password
///
/// Sets a new password with what `POST /auth/password/forgot` has mailed. It also confirms the
/// address, ends all sessions and whatever was pending, and logs nobody in. The link works once,
/// for 30 minutes, the code for 10 minutes and five tries.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 204, description = "The password is set; log in with it."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/password/reset")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn reset_password(
    body: Json<ResetPassword>,
    address: ClientIp,
    db: Data<Db>,
    hasher: Data<passwords::Hasher>,
    limits: Data<RateLimits>,
    keys: Data<ChallengeKeys>,
    blocklist: Data<Blocklist>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    limits.check_address(super::PER_ADDRESS, address.0)?;
    let Json(ResetPassword { token, email, code, new_password }) = body;
    let now = clock.now();
    let pointer = if token.is_some() { "/token" } else { "/code" };
    let proof = Proof::new(token, email.as_deref(), code);
    let found = proof.find(Purpose::ResetPassword, &db, &limits, keys, now).await?;
    let unused = Some(&found).filter(|challenge| challenge.consumed_at.is_none());
    let user = unused.and_then(Challenge::user).ok_or_else(|| refused(pointer))?;
    let hash = new_password::hash(new_password, user, &db, &hasher).await?;
    let ended = db.tx(move |conn| apply(conn, found.id, user, &hash, now)).await?;
    blocklist.refuse(&ended.ok_or_else(|| refused(pointer))?);
    Ok(HttpResponse::NoContent().finish())
}

/// None if somebody else was first.
fn apply(
    conn: &mut PgConnection,
    challenge: Uuid,
    user: Uuid,
    hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<Vec<Ended>>, Problem> {
    let Some(account) = users::lock_account(conn, user)? else {
        return Ok(None);
    };
    if !challenges::consume(conn, challenge, now)? {
        return Ok(None);
    }
    users::set_password(conn, user, hash, now)?;
    users::confirm_email(conn, user, &account.email_canonical, now)?;
    challenges::cancel(conn, user)?;
    let ended = sessions::end(conn, user, Which::All)?;
    let notice = NoticeMail { email: account.email, notice: Notice::PasswordChanged };
    jobs::enqueue(conn, &notice, now)?;
    Ok(Some(ended))
}
