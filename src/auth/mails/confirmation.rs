//! Sends the mail that asks the owner to confirm an address.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};

use super::{CODE_LIFETIME, MailContext, keep_secret};
use crate::{
    auth::{
        challenges::{self, Challenge, NewChallenge, Purpose, Secrets, Subject},
        store,
    },
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    users::{self, EmailAddress, Status},
};

/// Mails a link and a code for the unconfirmed account with this address, or else for its newest registration.
#[derive(Serialize, Deserialize)]
pub struct ConfirmationMail {
    pub email: String,
}

impl Job for ConfirmationMail {
    const KIND: &'static str = "mail-confirmation";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let Some(email) = EmailAddress::parse(&self.email) else {
            return Ok(());
        };
        let armed = context
            .query_tx(move |conn, keys| {
                let Some(asked_at) = open(conn, &email, running)? else {
                    return Ok(None);
                };
                let armed = challenges::arm(conn, keys, running.id, running.now)?;
                Ok(armed.map(|(challenge, secrets)| (challenge, secrets, asked_at)))
            })
            .await?;
        match armed {
            Some((challenge, secrets, asked_at)) => {
                send(context, &running, &challenge, &secrets, asked_at).await
            }
            None => Ok(()),
        }
    }
}

/// Opens the challenge and returns when the account or registration was created. None if nothing is unconfirmed there,
/// or a newer mail was sent.
fn open(
    conn: &mut PgConnection,
    email: &EmailAddress,
    running: Running,
) -> QueryResult<Option<DateTime<Utc>>> {
    // Locked before their challenges, in the same order as a confirmation does.
    let (subject, email, asked_at) = if let Some(account) = users::lock_account_of(conn, email)? {
        if account.email_confirmed || account.status == Status::Disabled {
            return Ok(None);
        }
        (Subject::User(account.id), account.email, account.created_at)
    } else {
        let pending = store::lock_all(conn, email)?;
        match pending.into_iter().rfind(|one| one.expires_at > running.now) {
            Some(one) => (Subject::Registration(one.id), one.email, one.created_at),
            None => return Ok(None),
        }
    };
    let new = NewChallenge { purpose: Purpose::ConfirmEmail, subject, email: &email };
    // With the job's id, so that a retry finds it again.
    let is_open = challenges::open_in_turn(conn, running.id, &new, running.now)?;
    Ok(is_open.then_some(asked_at))
}

pub(super) async fn send(
    context: &MailContext,
    running: &Running,
    challenge: &Challenge,
    secrets: &Secrets,
    asked_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let product = context.mailer.product();
    let thanks = format!(
        "Thanks for signing up for {product}. Confirm your email address to finish creating your account."
    );
    // Distinguishes the mails of several registrations, of which one may be a stranger's.
    let requested = [("Requested", asked_at.format("%-d %B %Y, %H:%M:%S UTC").to_string())];
    let letter = Letter {
        subject: "Confirm your email address",
        paragraphs: &[
            &thanks,
            "You'll be asked for a password: repeat the one you signed up with, or choose a new one.",
        ],
        details: &requested,
        action: Some(Action { label: "Confirm email address", link: &context.link("confirm", secrets) }),
        code: Some((&secrets.code, CODE_LIFETIME)),
        notes: &[
            "The link works for 24 hours.",
            match challenge.subject() {
                Subject::Registration(_) => {
                    "Didn't sign up at that time? You can ignore this email. No account will be created."
                }
                Subject::User(_) => {
                    "Didn't sign up at that time? You can ignore this email. The address stays unconfirmed."
                }
            },
            &keep_secret("link or code", product),
        ],
        ..Letter::default()
    };
    context.mailer.send_letter(running, challenge.email.given(), &letter).await
}
