//! The mails of this room. Each is a job, which reads the account when it runs.
//!
//! A job that has nothing to mail (no such account, nothing pending) succeeds without a mail. The recipient is greeted
//! by name only if the address is confirmed: otherwise a stranger could register the address of another person with an
//! advertisement as name, and we would mail it.

mod address_in_use;
mod confirmation;
mod email_change;
mod invitation;
mod login_stopped;
mod notice;
mod origin;
mod password_change;
mod registration;
mod reset;
mod restore;
mod session;
mod undo;

use std::sync::Arc;

use actix_web::web::Data;
use diesel::{PgConnection, QueryResult};

pub(super) use self::{
    confirmation::ConfirmationMail,
    email_change::EmailChangeMail,
    invitation::InvitationMail,
    login_stopped::LoginStoppedMail,
    notice::{Notice, NoticeMail},
    origin::Origin,
    password_change::PasswordChangeMail,
    registration::RegistrationMail,
    reset::{Reason, ResetMail},
    restore::RestoreMail,
    session::{SessionAct, SessionMail},
    undo::UndoMail,
};
use super::challenges::{self, ChallengeKeys, NewChallenge, Purpose, Secrets, Subject};
use crate::{
    db::{Db, DbError},
    jobs::{Registry, Running},
    limits::Limits,
    mail::Mailer,
    users::Account,
};

/// The services that the jobs of this room need.
#[derive(Clone)]
pub struct MailContext {
    pub db: Db,
    pub mailer: Mailer,
    pub keys: Data<ChallengeKeys>,
    pub limits: Data<Limits>,
    /// `APP_URL`, or `PUBLIC_URL`, where the built-in pages are.
    pub app_url: Arc<str>,
}

impl MailContext {
    /// Runs queries in a transaction, with the keys that make the secrets of challenges.
    async fn query_tx<T: Send + 'static>(
        &self,
        queries: impl FnOnce(&mut PgConnection, &ChallengeKeys) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let keys = self.keys.clone();
        self.db.query_tx(move |conn| queries(conn, &keys)).await
    }

    /// Returns a link with the token in its fragment, which browsers do not send to servers, so no server logs it.
    fn link(&self, page: &str, secrets: &Secrets) -> String {
        format!("{}#token={}", self.page(page), secrets.token)
    }

    fn page(&self, page: &str) -> String {
        format!("{}/{page}", self.app_url)
    }
}

/// How long a code works, in words.
const CODE_LIFETIME: &str = "10 minutes";
/// How mails show a time.
const TIME: &str = "%-d %B %Y, %H:%M UTC";

/// The warning below a code, or a link and a code.
fn keep_secret(what: &str, product: &str) -> String {
    format!("Don't share this {what} with anyone, including people who say they work for {product}.")
}

/// Opens and arms the challenge that this job mails, to the address as the account has it and not as the request
/// spelled it. The challenge has the job's id, so that a retry finds it again. Returns None if a newer mail was sent.
fn arm_for(
    conn: &mut PgConnection,
    keys: &ChallengeKeys,
    running: &Running,
    purpose: Purpose,
    account: &Account,
) -> QueryResult<Option<Secrets>> {
    let new = NewChallenge { purpose, subject: Subject::User(account.id), email: &account.email };
    if !challenges::open_in_turn(conn, running.id, &new, running.now)? {
        return Ok(None);
    }
    Ok(challenges::arm(conn, keys, running.id, running.now)?.map(|(_, secrets)| secrets))
}

/// Adds the kinds of mails to the registry.
pub fn jobs(registry: Registry, context: &MailContext) -> Registry {
    registry
        .register::<RegistrationMail>(context.clone())
        .register::<ConfirmationMail>(context.clone())
        .register::<ResetMail>(context.clone())
        .register::<PasswordChangeMail>(context.clone())
        .register::<EmailChangeMail>(context.clone())
        .register::<UndoMail>(context.clone())
        .register::<LoginStoppedMail>(context.clone())
        .register::<SessionMail>(context.clone())
        .register::<InvitationMail>(context.clone())
        .register::<RestoreMail>(context.clone())
        .register::<NoticeMail>(context.clone())
}
