//! Sends the mail about a log-in from a new device, with the link that ends its session.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MailContext, Origin};
use crate::{
    auth::challenges,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Mails when and from where the log-in was. It goes to the address that the account had then: a thief may have changed
/// it since.
#[derive(Serialize, Deserialize)]
pub struct LoginAlertMail {
    pub email: String,
    pub origin: Origin,
    /// For the link. Gone if the account was deleted in the meantime, which ended the session too.
    pub challenge: Uuid,
}

impl Job for LoginAlertMail {
    const KIND: &'static str = "mail-login-alert";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let id = self.challenge;
        let (armed, is_used) = context
            .query_tx(move |conn, keys| {
                Ok((challenges::arm(conn, keys, id, running.now)?, challenges::is_consumed(conn, id)?))
            })
            .await?;
        if is_used {
            // The mail has arrived: this is a repetition.
            return Ok(());
        }
        let happened = format!(
            "There was a log-in to your account at {} {}. This network and this program have not been used for it lately. \
             If it was you, there is nothing to do.",
            context.mailer.product(),
            self.origin.words(),
        );
        let link = armed.map(|(_, secrets)| context.link("end-session", &secrets));
        let advice = if link.is_some() {
            "If it was not you, someone else knows your password: end this log-in, and choose another password."
        } else {
            "If it was not you, someone else knows your password: choose another one."
        };
        let letter = Letter {
            subject: "New log-in to your account",
            paragraphs: &[&happened, advice],
            action: link.as_ref().map(|link| Action { label: "End this log-in", link }),
            notes: &[
                "The link works once, for 7 days. Opening it ends nothing: the page asks first.",
                "Your account lists all log-ins. At most a few of these mails are sent a day.",
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, &self.email, &letter).await
    }
}
