//! Completes the change of an email address with the link or code from the mail.

use actix_web::{
    post,
    web::{Data, Json as JsonBody},
};
use chrono::{DateTime, Utc};
use diesel::{PgConnection, result::Error};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{
    Auth, admission,
    caller::Caller,
    challenges::{self, Challenge, NewChallenge, Owner, Purpose, Subject},
    confirm::Confirmed,
    mails::{Notice, NoticeMail, Origin, UndoMail},
    proof::{Proof, check_code, refused},
};
use crate::{
    audit::{Event, EventKind},
    http::{Json, Problem, kind},
    jobs,
    limits::Limits,
    tokens::{Client, CurrentUser},
    users::{self, Taken, check_email},
};

/// Either `token`, or `code` together with the new address as `email` or with your access token.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check"))]
#[schema(example = json!({"code": "K7QM2XPA"}))]
pub struct ConfirmEmailChange {
    /// From the link in the mail; at most 128 characters.
    #[schema(max_length = 128)]
    #[validate(length(max = 128, message = "must have at most 128 characters"))]
    token: Option<String>,
    /// The new address, to which the code was mailed.
    #[schema(format = "email", max_length = 254)]
    #[validate(custom(function = "check_email"))]
    email: Option<String>,
    /// The eight characters from the mail. Case, spaces and dashes make no difference.
    #[schema(min_length = 8, max_length = 15, pattern = "^[0-9A-TV-Za-tv-z]([ -]?[0-9A-TV-Za-tv-z]){7}$")]
    #[validate(custom(function = "check_code"))]
    code: Option<String>,
}

fn check(body: &ConfirmEmailChange) -> Result<(), ValidationError> {
    if body.token.is_some() != body.code.is_some() && (body.token.is_none() || body.email.is_none()) {
        return Ok(());
    }
    let mut error =
        ValidationError::new("token-or-code").with_message("give either `token` or `code`".into());
    error.add_param("field".into(), &"token");
    Err(error)
}

/// Confirm a change of the email address
///
/// Gives the account the new address. If the old address was confirmed, it gets a mail with a link that undoes the
/// change; for these 7 days no other account can have the old address. Otherwise it only gets a notice, because
/// anyone can register an account with any address.
///
/// Needs no access token with `token`, or with `email` and `code`; `code` alone needs yours. The link works for 24
/// hours. The code works for 10 minutes and allows five wrong attempts from one network.
#[utoipa::path(
    tag = "mail",
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The account has the new address.", body = Confirmed),
        (status = 403, description = "`email-domain-not-allowed`: the settings of the server have changed since."),
        (status = 409, description = "`email-taken`: another account got the address in the meantime."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`.")
    )
)]
#[post("/auth/email/change/confirm")]
pub async fn confirm_email_change(
    Caller(client): Caller,
    me: Result<CurrentUser, Problem>,
    body: Json<ConfirmEmailChange>,
    auth: Data<Auth>,
) -> Result<JsonBody<Confirmed>, Problem> {
    let Json(ConfirmEmailChange { token, email, code }) = body;
    let now = auth.now();
    let proof = match (token, email, code) {
        (None, None, Some(code)) => Proof::Code { owner: Owner::User(me?.id), code },
        (token, email, code) => Proof::new(token, email.as_deref(), code),
    };
    let pointer = proof.pointer();
    let challenge = proof.find_unused(Purpose::ChangeEmail, &auth, client.network()).await?;
    // Again, because the settings may have changed since.
    admission::check_domain(&auth.accounts.registration, &challenge.email, pointer)?;
    let confirmed = Confirmed { email: challenge.email.given().to_owned() };
    let limits = auth.limits.clone();
    if !auth.db.tx(move |conn| apply(conn, &limits, &challenge, &client, now)).await? {
        return Err(refused(pointer));
    }
    Ok(JsonBody(confirmed))
}

/// Makes the change. Returns false if another request used the challenge first.
fn apply(
    conn: &mut PgConnection,
    limits: &Limits,
    challenge: &Challenge,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let user = challenge.user().ok_or_else(|| Problem::internal("a change of address without a user"))?;
    let Some(old) = users::lock_account(conn, user)? else {
        return Ok(false);
    };
    if !challenges::consume(conn, challenge.id, now)? {
        return Ok(false);
    }
    users::change_email(conn, user, &challenge.email, now).map_err(taken)?;
    challenges::cancel(conn, user)?;
    Event::by_stranger(EventKind::EmailChanged, user, client).record(conn, now)?;
    if !old.email_confirmed {
        // Otherwise anyone could reserve any address: by registering it and then changing to another one.
        if super::may_mail(conn, limits, limits.rates.mails.email_change, &old.email, now)? {
            let notice = NoticeMail::to(&old.email, Notice::AddressChanged);
            jobs::enqueue(conn, &notice, now)?;
        }
        return Ok(true);
    }
    let new =
        NewChallenge { purpose: Purpose::UndoEmailChange, subject: Subject::User(user), email: &old.email };
    let undo = challenges::open(conn, &new, now)?;
    let mail = UndoMail { challenge: undo, user: Some(user), origin: Some(Origin::of(client, now)) };
    jobs::enqueue(conn, &mail, now)?;
    Ok(true)
}

/// Maps a taken address to `email-taken`. This reveals nothing to a stranger: the caller has proved to receive mail
/// at the address.
fn taken(error: Error) -> Problem {
    match Taken::by(&error) {
        Some(Taken::Email) => Problem::new(&kind::EMAIL_TAKEN),
        _ => error.into(),
    }
}
