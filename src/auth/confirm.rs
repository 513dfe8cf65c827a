use actix_web::{
    post,
    web::{Data, Json as JsonBody},
};
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{
    mails::{Reason, ResetMail},
    proof::{Checker, Proof, check_code, check_proof, refused},
    store,
};
use crate::{
    clock::Clock,
    db::{Db, constraint_violated},
    http::{ClientIp, Json, Problem},
    jobs,
    limits::Limits,
    passwords::Hasher,
    tokens::{
        ChallengeKeys, Role,
        challenges::{self, Challenge, Purpose, Subject},
    },
    users::{self, EmailAddress, NewUser, check_email},
};

/// Either `token` from the link, or `email` and `code`.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check"))]
#[schema(example = json!({"email": "ada@example.com", "code": "K7QM2XPA"}))]
pub struct Confirm {
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    token: Option<String>,
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: Option<String>,
    #[schema(pattern = "^[0-9A-TV-Za-tv-z]([ -]?[0-9A-TV-Za-tv-z]){7}$")]
    #[validate(custom(function = "check_code"))]
    code: Option<String>,
}

fn check(body: &Confirm) -> Result<(), ValidationError> {
    check_proof(body.token.is_some(), body.email.is_some(), body.code.is_some())
}

/// An address that is confirmed now.
#[derive(Serialize, ToSchema)]
pub struct Confirmed {
    #[schema(example = "ada@example.com", format = "email")]
    pub(super) email: String,
}

/// Confirm an address
///
/// Proves that you read mail at the address of your account. A registration becomes the account
/// now, with the password it was made with; other registrations of the address end. If those have
/// other passwords, somebody else may have made some of them: then the account has neither password
/// nor names, and a link for a new password is mailed at once. May be repeated with the same answer.
/// The link works for 24 hours, the code for 10 minutes and five tries.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 200, description = "The address is confirmed; log in.", body = Confirmed),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/confirm")]
pub async fn confirm(
    body: Json<Confirm>,
    address: ClientIp,
    db: Data<Db>,
    limits: Data<Limits>,
    keys: Data<ChallengeKeys>,
    hasher: Data<Hasher>,
    clock: Data<Clock>,
) -> Result<JsonBody<Confirmed>, Problem> {
    limits.requests.check_address(super::PER_ADDRESS, address.0)?;
    let Json(Confirm { token, email, code }) = body;
    let now = clock.now();
    let proof = Proof::new(token, email.as_deref(), code);
    let pointer = proof.pointer();
    let with = Checker { db: &db, limits: &limits, keys: &keys, network: address.network(), now };
    let challenge = proof.find(Purpose::ConfirmEmail, with).await?;
    let confirmed = Confirmed { email: challenge.email.clone() };
    if challenge.consumed_at.is_none() {
        let no_password = hasher.no_password();
        if !db.tx(move |conn| apply(conn, &challenge, pointer, no_password, now)).await? {
            return Err(refused(pointer));
        }
    }
    Ok(JsonBody(confirmed))
}

/// False if the challenge is no good any more. A second request that waited for the first one is
/// answered as that.
fn apply(
    conn: &mut PgConnection,
    challenge: &Challenge,
    pointer: &str,
    no_password: String,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let done = match challenge.subject() {
        Subject::User(id) => {
            users::lock_account(conn, id)?;
            challenges::consume(conn, challenge.id, now)?
                && users::confirm_email(conn, id, &challenge.email_canonical, now)?
        }
        Subject::Registration(id) => {
            let pending = store::lock_all(conn, &challenge.email_canonical)?;
            challenges::lock_all(conn, &challenge.email_canonical)?;
            match pending.iter().find(|one| one.id == id).cloned() {
                Some(mut registration) if challenges::consume(conn, challenge.id, now)? => {
                    if pending.iter().any(|other| other.password_hash != registration.password_hash) {
                        // Which of them is the reader's? A link may be clicked because it came last.
                        registration = registration.of_nobody(no_password);
                        let email = registration.email.clone();
                        jobs::enqueue(conn, &ResetMail { email, reason: Reason::Contested }, now)?;
                    }
                    become_account(conn, challenge, registration, pointer, now)?;
                    store::delete(conn, &pending)?;
                    true
                }
                _ => false,
            }
        }
    };
    Ok(done || challenges::is_consumed(conn, challenge.id)?)
}

fn become_account(
    conn: &mut PgConnection,
    challenge: &Challenge,
    registration: store::Registration,
    pointer: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let store::Registration { email, username, name, password_hash, .. } = registration;
    let email = EmailAddress::parse(&email).ok_or_else(|| Problem::internal("a stored address"))?;
    let new = NewUser::new(&email, password_hash, Role::User, now).confirmed();
    let wanted = new.clone().named(name.clone(), username);
    let inserted = conn.transaction(|conn| users::insert(conn, &wanted));
    let inserted = match inserted {
        // Somebody was faster with the username; the account can choose another one.
        Err(error) if constraint_violated(&error) == Some("users_username_key") => {
            users::insert(conn, &new.named(name, None))
        }
        inserted => inserted,
    };
    let user = inserted.map_err(|error| match constraint_violated(&error) {
        // An account got this address meanwhile, in another way.
        Some("users_email_key" | "users_email_reserved") => refused(pointer),
        _ => error.into(),
    })?;
    Ok(challenges::hand_over(conn, challenge.id, user.id)?)
}
