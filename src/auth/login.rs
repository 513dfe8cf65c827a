//! Checks an address or username and a password, and starts a session.

use actix_web::{HttpResponse, post, web::Data};
use chrono::TimeDelta;
use diesel::{PgConnection, connection::SimpleConnection};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{
    Auth,
    caller::Caller,
    login_alert::{self, NewLogin},
    mails::LoginStoppedMail,
    store,
    token_pair::{self, TokenPair},
};
use crate::{
    audit::{Actor, Event, EventKind},
    db::{self, DbError, UserId},
    http::{Json, Network, Problem, kind},
    jobs,
    passwords::Verdict,
    tokens::{
        Client, EndedSessions, Grant, Lifetimes,
        sessions::{self, NewSession},
    },
    users::{self, Credentials, EmailAddress, Guess, Login},
};

/// Either `email` or `username`, and the password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "check_login"))]
#[schema(as = Login)]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery", "remember": true}))]
pub struct LoginBody {
    #[schema(format = "email", max_length = 254)]
    #[validate(length(max = 254))]
    email: Option<String>,
    #[schema(max_length = 32)]
    #[validate(length(max = 32))]
    username: Option<String>,
    #[schema(format = "password", max_length = 1024)]
    #[validate(length(max = 1024))]
    password: String,
    /// Whether to keep the session for long: at most 90 days, and 14 days without a refresh. Otherwise 24 hours and
    /// 12 hours. A server may be configured with other times.
    #[serde(default)]
    remember: bool,
}

fn check_login(body: &LoginBody) -> Result<(), ValidationError> {
    if body.email.is_some() == body.username.is_some() {
        let mut error = ValidationError::new("email-or-username")
            .with_message("give either `email` or `username`".into());
        error.add_param("field".into(), &"email");
        return Err(error);
    }
    Ok(())
}

/// How long the mail about stopped log-ins is delayed. By then the last guess is verified: if it was right, nothing is
/// mailed.
const MAIL_DELAY: TimeDelta = TimeDelta::seconds(10);

/// Log in
///
/// Starts a session and returns its first pair of tokens. A wrong password and an unknown account get the same
/// response after the same time, so that it does not reveal accounts. If the server requires confirmation, the
/// right password of an unconfirmed registration gets a 403.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 200, description = "The tokens.", body = TokenPair),
        (status = 401, description = "`invalid-credentials`."),
        (status = 403, description = "`email-unconfirmed`, `account-disabled`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/login")]
pub async fn login(
    Caller(client): Caller,
    body: Json<LoginBody>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Json(LoginBody { email, username, password, remember }) = body;
    let login = match (email, username) {
        (Some(email), _) => EmailAddress::parse(&email).map(Login::Email),
        (None, username) => username.map(Login::Username),
    };
    if let Some(login) = &login {
        db::charge_to(&login.canonical());
    }
    let (permit, check_pending) =
        (auth.hasher.reserve(client.network())?, auth.accounts.require_confirmation);
    let Candidate { account, pending, guess } = find(&auth, login, client.network()).await?;
    if let Some(user) = &account {
        db::charge_to(&user.id);
    }
    let stored = account.as_ref().map(|user| user.password_hash.clone());
    // Pending registrations are compared whether or not an account exists: anyone may register any address, and the
    // time must not show which of the two there is.
    let checked = if check_pending {
        permit.verify_with_pending(password, stored, pending).await
    } else {
        permit.verify(password, stored).await.map(|verdict| (verdict, false))
    };
    let (verdict, matches_pending) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            refund(&auth, guess).await?;
            return Err(problem);
        }
    };
    let account_id = account.as_ref().map(|user| user.id);
    let Some(user) = account.filter(|_| verdict != Verdict::Wrong) else {
        if matches_pending {
            // It still counts as a wrong password: a stranger may have registered the address of an account, and must
            // not get free guesses by that.
            return Err(Problem::new(&kind::EMAIL_UNCONFIRMED));
        }
        auth.limits.wrong_guesses.count_password();
        record_failure(&auth, account_id, &client).await?;
        return Err(wrong());
    };
    if user.disabled {
        refund(&auth, guess).await?;
        return Err(Problem::new(&kind::ACCOUNT_DISABLED));
    }
    let times = auth.lifetimes();
    let started = start_session(&auth, user, remember, client, verdict, guess.clone(), times.clone()).await;
    let (grant, ended) = match started {
        Ok(started) => started,
        Err(problem) => {
            // Only for a right password: a refund for a wrong one would be another guess.
            refund(&auth, guess).await?;
            return Err(problem);
        }
    };
    ended.refuse(&auth.blocklist);
    token_pair::respond(&auth.jwt, grant, &times)
}

/// Starts a session if the account still has the password that was verified.
async fn start_session(
    auth: &Auth,
    user: Credentials,
    remember: bool,
    client: Client,
    verdict: Verdict,
    guess: Option<Guess>,
    times: Lifetimes,
) -> Result<(Grant, EndedSessions), Problem> {
    let (limits, activity) = (auth.limits.clone(), auth.activity.clone());
    let alerts = auth.accounts.login_alerts;
    let start = move |conn: &mut PgConnection| {
        let Some(counted) = users::count_login(conn, &user, client.address, times.now)? else {
            // Changed by its owner or an admin, or rehashed by another log-in: a second attempt shows which.
            let gone = users::lock_hash(conn, user.id)?.is_none();
            let changed = || Problem::unavailable("the account was changed during the log-in");
            return Err(if gone { wrong() } else { changed() });
        };
        if let Verdict::RightButOutdated(new) = &verdict {
            users::set_password_hash(conn, user.id, &user.password_hash, new)?;
        }
        if let Some(guess) = guess {
            guess.was_right(conn, &limits)?;
        }
        let new = NewSession { user: user.id, role: counted.role, remember, client: client.clone() };
        let (grant, ended) = sessions::start(conn, new, &times, &activity)?;
        let (session, is_first) = (grant.claims.sid, counted.is_first);
        let news = NewLogin { user: user.id, session, client: &client, is_first };
        login_alert::notice(conn, &limits, alerts, &news, times.now)?;
        Event::new(EventKind::LoggedIn, Actor::Anonymous)
            .about(user.id)
            .in_session(session)
            .from(&client)
            .record(conn, times.now)?;
        Ok((grant, ended))
    };
    auth.db.tx(start).await
}

/// Records a wrong password. Also that of a name without an account, so that the time does not show which names have
/// one.
async fn record_failure(auth: &Auth, account: Option<UserId>, client: &Client) -> Result<(), DbError> {
    let (now, client) = (auth.now(), client.clone());
    let record = move |conn: &mut PgConnection| {
        let event = Event::new(EventKind::LoginFailed, Actor::Anonymous).from(&client);
        account.into_iter().fold(event, Event::about).record(conn, now)
    };
    auth.db.query(record).await
}

/// Refunds a guess at a password that was not verified, or was right.
async fn refund(auth: &Auth, guess: Option<Guess>) -> Result<(), DbError> {
    let Some(guess) = guess else { return Ok(()) };
    let limits = auth.limits.clone();
    auth.db.query(move |conn| guess.refund(conn, &limits)).await
}

/// The hashes to compare the password of a log-in with, and the guess that is counted for it.
#[derive(Default)]
struct Candidate {
    account: Option<Credentials>,
    /// The hashes of pending registrations, if the server requires confirmation.
    pending: Vec<String>,
    guess: Option<Guess>,
}

/// Counts a guess at this account and finds what to compare it with. `name` is None for a text that is not an address.
async fn find(auth: &Auth, name: Option<Login>, network: Network) -> Result<Candidate, Problem> {
    let (check_pending, now, limits) = (auth.accounts.require_confirmation, auth.now(), auth.limits.clone());
    let find = move |conn: &mut PgConnection| -> Result<Candidate, Problem> {
        let Some(name) = name else { return Ok(Candidate::default()) };
        let found = users::find_credentials(conn, &name)?;
        let pending = if check_pending { store::find_hashes(conn, &name, now)? } else { Vec::new() };
        // A crash of PostgreSQL may lose the guesses of less than a second.
        conn.batch_execute("SET LOCAL synchronous_commit TO off")?;
        let account = found.as_ref().map(|user| user.id);
        let guess = Guess::at_login(conn, &limits, account, &name.canonical(), network, now)?;
        if guess.is_last {
            let event = Event::new(EventKind::LoginsStopped, Actor::Server);
            account.into_iter().fold(event, Event::about).record(conn, now)?;
            jobs::enqueue(conn, &LoginStoppedMail { account }, now + MAIL_DELAY)?;
        }
        Ok(Candidate { account: found, pending, guess: Some(guess) })
    };
    auth.db.tx(find).await
}

fn wrong() -> Problem {
    Problem::new(&kind::INVALID_CREDENTIALS).challenge(false)
}
