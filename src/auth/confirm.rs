//! Confirms a registration with the link or code from the mail.

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
    Auth, Ended, admission,
    caller::Caller,
    challenges::{self, Challenge, Purpose, Subject},
    mails::{Notice, NoticeMail},
    new_password,
    proof::{Proof, check_code, check_proof, refused},
    store,
};
use crate::{
    audit::{Event, EventKind},
    db::UserId,
    http::{Json, Problem},
    jobs,
    passwords::Verdict,
    tokens::{Client, Role, login_devices},
    users::{self, NewUser, Taken, check_email},
};

/// Either `token`, or `email` and `code`; and the password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check"))]
#[schema(example = json!({"email": "ada@example.com", "code": "K7QM2XPA", "password": "correct horse battery"}))]
pub struct Confirm {
    /// From the link in the mail; at most 128 characters.
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    token: Option<String>,
    /// The address that the code was mailed to.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: Option<String>,
    /// The eight characters from the mail. Case, spaces and dashes make no difference.
    #[schema(min_length = 8, max_length = 15, pattern = "^[0-9A-TV-Za-tv-z]([ -]?[0-9A-TV-Za-tv-z]){7}$")]
    #[validate(custom(function = "check_code"))]
    code: Option<String>,
    /// The account's password from now on. Repeat the password that you registered with, or choose a new one of 8
    /// to 256 characters. Required unless this link or code was used before.
    #[schema(format = "password", max_length = 1024)]
    #[validate(length(max = 1024, message = "must have at most 1024 characters"))]
    password: Option<String>,
}

fn check(body: &Confirm) -> Result<(), ValidationError> {
    check_proof(body.token.is_some(), body.email.is_some(), body.code.is_some())
}

/// The account's confirmed address.
#[derive(Serialize, ToSchema)]
pub struct Confirmed {
    #[schema(example = "ada@example.com", format = "email")]
    pub(super) email: String,
}

/// Confirm an email address
///
/// Proves that you receive mail at the address, and sets the account's password. A pending registration becomes
/// an account.
///
/// A registration's name and username are kept only if you repeat its password, because anyone can register your
/// address. With another password the account gets that password and no names. All other pending registrations of
/// the address are discarded.
///
/// An account that could be used without confirmation follows the same rule. Its own password confirms it. Another
/// password takes it over: its sessions end, its names are removed, and pending links and codes stop working.
///
/// Idempotent: a repeated request gets the same response and changes nothing. The link works for 24 hours. The
/// code works for 10 minutes and allows five wrong attempts from one network.
#[utoipa::path(
    tag = "mail",
    security(()),
    responses(
        (status = 200, description = "The address is confirmed. Log in next.", body = Confirmed),
        (status = 403, description = "`registration-closed`, `email-domain-not-allowed`: the settings of the server \
            have changed since the registration."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/confirm")]
pub async fn confirm(
    Caller(client): Caller,
    body: Json<Confirm>,
    auth: Data<Auth>,
) -> Result<JsonBody<Confirmed>, Problem> {
    let Json(Confirm { token, email, code, password }) = body;
    let (now, network) = (auth.now(), client.network());
    let proof = Proof::new(token, email.as_deref(), code);
    let pointer = proof.pointer();
    let challenge = proof.find(Purpose::ConfirmEmail, &auth, network).await?;
    let confirmed = Confirmed { email: challenge.email.given().to_owned() };
    if challenge.consumed_at.is_some() {
        return Ok(JsonBody(confirmed));
    }
    let password = password.ok_or_else(|| {
        let message = "is required: repeat the password that you registered with, or choose a new one";
        Problem::invalid("/password", "required", message)
    })?;
    // The policy applies only if the password is new to the account.
    let personal = [Some(challenge.email.given())];
    let allowed = new_password::check_all(&auth, &password, &personal, "/password").await;
    let salt = auth.challenge_keys.salt(&challenge.email);
    let done = match challenge.subject() {
        Subject::Registration(_) => {
            // Again, because the settings may have changed since.
            admission::check_registration(&auth.accounts.registration, &challenge.email)?;
            // With the salt that the registrations have, so that one hash can be compared with all of them.
            let hash = auth.hasher.reserve(network)?.hash_with_salt(password, salt).await?;
            auth.db
                .tx(move |conn| create_account(conn, &challenge, hash, allowed, pointer, &client, now))
                .await?
        }
        Subject::User(id) => {
            let stored = auth.db.query(move |conn| users::find_hash(conn, id)).await?;
            let stored = stored.ok_or_else(|| refused(pointer))?;
            let verdict =
                auth.hasher.reserve(network)?.verify(password.clone(), Some(stored.clone())).await?;
            let new = if verdict == Verdict::Wrong {
                allowed?;
                Some(auth.hasher.reserve(network)?.hash(password).await?)
            } else {
                None
            };
            let ended = auth
                .db
                .tx(move |conn| confirm_account(conn, &challenge, id, &stored, new, &client, now))
                .await?;
            ended.map(|ended| ended.refuse(&auth)).is_some()
        }
    };
    if done { Ok(JsonBody(confirmed)) } else { Err(refused(pointer)) }
}

/// Creates the account of a registration. Returns false if the challenge is no longer valid. A request that waited
/// for another one with the same challenge gets the same result as that one.
fn create_account(
    conn: &mut PgConnection,
    challenge: &Challenge,
    hash: String,
    allowed: Result<(), Problem>,
    pointer: &str,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let pending = store::lock_all(conn, &challenge.email)?;
    challenges::lock_all(conn, &challenge.email)?;
    if !challenges::consume(conn, challenge.id, now)? {
        return Ok(challenges::is_consumed(conn, challenge.id)?);
    }
    // Anyone may have registered the address: the person's own registration is the one with the same password. Of
    // several, it is the one whose mail was used, or the newest.
    let own = || pending.iter().filter(|one| one.password_hash == hash);
    let (name, username) = match own()
        .find(|one| challenge.subject() == Subject::Registration(one.id))
        .or_else(|| own().next_back())
    {
        Some(own) => (own.name.clone(), own.username.clone()),
        None => allowed.map(|()| (None, None))?,
    };
    let new = NewUser::new(challenge.email.clone(), hash, Role::User, now).confirmed();
    let wanted = new.clone().named(name.clone(), username);
    let inserted = conn.transaction(|conn| users::insert(conn, &wanted));
    let inserted = match inserted {
        // Another account got the username first. The person can choose another one later.
        Err(error) if Taken::by(&error) == Some(Taken::Username) => {
            users::insert(conn, &new.named(name, None))
        }
        inserted => inserted,
    };
    let user = inserted.map_err(|error| match Taken::by(&error) {
        // Another account got this address in the meantime, for example by a change of its address.
        Some(Taken::Email) => refused(pointer),
        _ => error.into(),
    })?;
    challenges::hand_over(conn, challenge.id, user.id)?;
    store::delete(conn, &pending)?;
    Event::by_stranger(EventKind::Registered, user.id, client).record(conn, now)?;
    Ok(true)
}

/// Confirms the address of an account. `new` is the hash of a password that is not the account's: then the person who
/// receives the mail takes the account over. Returns what has ended, or None if the challenge is no longer valid.
fn confirm_account(
    conn: &mut PgConnection,
    challenge: &Challenge,
    user: UserId,
    verified: &str,
    new: Option<String>,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Option<Ended>, Problem> {
    let Some(current) = users::lock_hash(conn, user)? else {
        return Ok(None);
    };
    if !challenges::consume(conn, challenge.id, now)? {
        return Ok(challenges::is_consumed(conn, challenge.id)?.then(Ended::default));
    }
    if current != verified {
        return Err(Problem::unavailable("the password was changed during the confirmation"));
    }
    Event::by_stranger(EventKind::EmailConfirmed, user, client)
        .detail("password_changed", new.is_some())
        .record(conn, now)?;
    let Some(hash) = new else {
        let confirmed = users::confirm_email(conn, user, &challenge.email, now)?;
        return Ok(confirmed.then(Ended::default));
    };
    users::take_over(conn, user, &hash, now)?;
    // The log-in that follows is no news.
    login_devices::remember(conn, user, client, now)?;
    challenges::cancel_all(conn, user)?;
    let notice = NoticeMail::to(&challenge.email, Notice::PasswordChanged).by(client, now);
    jobs::enqueue(conn, &notice, now)?;
    let event = Event::by_stranger(EventKind::ApiKeyRevoked, user, client);
    Ok(Some(Ended::all(conn, user, event, now)?))
}
