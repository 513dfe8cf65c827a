use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{
    mails::LoginStoppedMail,
    store,
    token_pair::{self, TokenPair},
};
use crate::{
    clock::Clock,
    config,
    db::{self, Db},
    http::{ClientIp, Json, Problem, kind},
    jobs,
    limits::Limits,
    passwords::{self, Verdict},
    tokens::{
        Activity, Blocklist, Jwt, Lifetimes,
        sessions::{self, NewSession},
    },
    users::{self, EmailAddress, Guess, Login},
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
    /// Keeps the session for up to 90 days (14 unused) instead of 24 hours (12 unused).
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

/// By then it is known whether the last guess was right, in which case nothing is mailed.
const CHECKED: TimeDelta = TimeDelta::seconds(10);

/// Log in
///
/// Starts a session and returns its first pair of tokens. The answer to a wrong password and to
/// an unknown account is the same, also in time. Where confirmation is required, the right password
/// of a registration that waits for it is a 403.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 200, description = "The tokens.", body = TokenPair),
        (status = 401, description = "`invalid-credentials`."),
        (status = 403, description = "`email-unconfirmed`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/login")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn login(
    req: HttpRequest,
    body: Json<LoginBody>,
    address: ClientIp,
    db: Data<Db>,
    hasher: Data<passwords::Hasher>,
    limits: Data<Limits>,
    jwt: Data<Jwt>,
    settings: Data<config::Tokens>,
    accounts: Data<config::Accounts>,
    clock: Data<Clock>,
    activity: Data<Activity>,
    blocklist: Data<Blocklist>,
) -> Result<HttpResponse, Problem> {
    limits.requests.check_address(super::PER_ADDRESS, address.0)?;
    let Json(LoginBody { email, username, password, remember }) = body;
    let login = match (email, username) {
        (Some(email), _) => EmailAddress::parse(&email).map(Login::Email),
        (None, username) => username.map(Login::Username),
    };
    if let Some(login) = &login {
        db::charge_to(&login.canonical());
    }
    let network = address.network();
    let place = hasher.reserve(network)?;
    let (look, now, counted) = (accounts.require_confirmation, clock.now(), limits.clone());
    let (found, pending, guess) = db
        .tx(move |conn| {
            let Some(login) = login else { return Ok((None, Vec::new(), None)) };
            let found = users::find_credentials(conn, &login)?;
            let pending = if look { store::find_hashes(conn, &login, now)? } else { Vec::new() };
            // What a crash of PostgreSQL forgets is less than a second of guesses.
            conn.batch_execute("SET LOCAL synchronous_commit TO off")?;
            let account = found.as_ref().map(|user| user.id);
            let guess = Guess::at_login(conn, &counted, account, &login.canonical(), network, now)?;
            if guess.is_last {
                jobs::enqueue(conn, &LoginStoppedMail { account }, now + CHECKED)?;
            }
            Ok::<_, Problem>((found, pending, Some(guess)))
        })
        .await?;

    if let Some(user) = &found {
        db::charge_to(&user.id);
    }
    let stored = found.as_ref().map(|user| user.password_hash.clone());
    // Anyone may register any address, so a registration that waits says nothing about an account:
    // whether or not there is one, it is looked at, and if there is none, that takes as long.
    let checked = if look {
        place.verify_or_waits(password, stored, pending).await
    } else {
        place.verify(password, stored).await.map(|verdict| (verdict, false))
    };
    let (verdict, waits) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            if let Some(guess) = guess {
                db.query(move |conn| guess.was_not_checked(conn, &limits)).await?;
            }
            return Err(problem);
        }
    };
    let Some(user) = found.filter(|_| verdict != Verdict::Wrong) else {
        if waits {
            // It stays counted as a wrong one: the password is that of a registration, which a stranger
            // may have made for the address of an account.
            return Err(Problem::new(&kind::EMAIL_UNCONFIRMED));
        }
        limits.wrong_guesses.count_password();
        return Err(wrong());
    };

    let times = Lifetimes::new(&settings, &clock);
    let (client, start_times) = (super::client(&req, address), times.clone());
    let (grant, ended) = db
        .tx(move |conn| {
            let current = users::lock_hash(conn, user.id)?;
            if current.ok_or_else(wrong)? != user.password_hash {
                // By its owner, or by a log-in that rehashed it: the next try tells.
                return Err(Problem::unavailable("the password was changed during the log-in"));
            }
            if let Verdict::RightButOutdated(new) = &verdict {
                users::set_password_hash(conn, user.id, &user.password_hash, new)?;
            }
            if let Some(guess) = guess {
                guess.was_right(conn, &limits)?;
            }
            let new = NewSession { user: user.id, role: user.role, remember, client };
            Ok(sessions::start(conn, new, &start_times, &activity)?)
        })
        .await?;
    ended.refuse(&blocklist);
    token_pair::respond(&jwt, grant, &times)
}

fn wrong() -> Problem {
    Problem::new(&kind::INVALID_CREDENTIALS).challenge(false)
}
