//! Sends the mails about a log-in from a new device and about a new API key, with the link that ends the session.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MailContext, Origin};
use crate::{
    auth::challenges,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Mails what a session has done, when and from where. It goes to the address that the account had then: a thief may have
/// changed it since.
#[derive(Serialize, Deserialize)]
pub struct SessionMail {
    pub email: String,
    pub origin: Origin,
    pub what: SessionAct,
    /// For the link. Gone if the account was deleted in the meantime, which ended the session too.
    pub challenge: Uuid,
}

#[derive(Serialize, Deserialize)]
pub enum SessionAct {
    LoggedIn,
    /// Without the name of the key: a thief who created it could put a text of their own into this mail.
    CreatedApiKey {
        prefix: String,
        scopes: String,
    },
}

/// The texts of a mail; the advice with and without a link.
struct Content {
    subject: &'static str,
    happened: String,
    /// In addition to when and from where.
    details: Vec<(&'static str, String)>,
    advice: [&'static str; 2],
    note: &'static str,
}

impl SessionAct {
    fn content(self, product: &str) -> Content {
        match self {
            Self::LoggedIn => Content {
                subject: "New log-in to your account",
                happened: format!(
                    "There was a log-in to your {product} account from a network and a device that haven't been used \
                     for it lately."
                ),
                details: Vec::new(),
                advice: [
                    "If this was you, there's nothing to do. If not, someone else knows your password: end this log-in, \
                     then choose another password.",
                    "If this was you, there's nothing to do. If not, someone else knows your password: choose another \
                     one.",
                ],
                note: "Your account lists all log-ins. We send at most a few of these emails a day.",
            },
            Self::CreatedApiKey { prefix, scopes } => Content {
                subject: "A new API key for your account",
                happened: format!(
                    "An API key was created for your {product} account. A program that has it can act for you, within \
                     the scopes below."
                ),
                details: vec![("Key begins with", prefix), ("Scopes", scopes)],
                advice: [
                    "If this was you, there's nothing to do. If not, someone else is logged in to your account: end \
                     that log-in, revoke the key in the list of your API keys, and choose another password.",
                    "If this was you, there's nothing to do. If not, someone else is logged in to your account: revoke \
                     the key in the list of your API keys, and choose another password, which ends all log-ins.",
                ],
                note: "The key works until it is revoked, also after the log-in has ended.",
            },
        }
    }
}

impl Job for SessionMail {
    const KIND: &'static str = "mail-session";
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
        let Content { subject, happened, mut details, advice: [with_link, without], note } =
            self.what.content(context.mailer.product());
        details.extend(self.origin.details());
        let link = armed.map(|(_, secrets)| context.link("end-session", &secrets));
        let notes = ["The link works once, for 7 days. Opening it ends nothing: the page asks first.", note];
        let letter = Letter {
            subject,
            paragraphs: &[&happened, if link.is_some() { with_link } else { without }],
            details: &details,
            action: link.as_ref().map(|link| Action { label: "End this log-in", link }),
            notes: &notes[usize::from(link.is_none())..],
            second: Some(Action { label: "Choose another password", link: &context.page("reset-password") }),
            ..Letter::default()
        };
        context.mailer.send_letter(&running, &self.email, &letter).await
    }
}
