//! Sends the mail that lets the owner undo a change of the address.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MailContext, Origin};
use crate::{
    auth::challenges,
    db::UserId,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Mails to the old address after a change: what happened, and the link that undoes it.
#[derive(Serialize, Deserialize)]
pub struct UndoMail {
    pub challenge: Uuid,
    /// By which the purge of the account finds a mail that could not be sent. Absent in older jobs.
    #[serde(default)]
    pub user: Option<UserId>,
    /// Who confirmed the change. Absent in older jobs.
    #[serde(default)]
    pub origin: Option<Origin>,
}

impl Job for UndoMail {
    const KIND: &'static str = "mail-email-undo";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let armed = context
            .query_tx(move |conn, keys| challenges::arm(conn, keys, self.challenge, running.now))
            .await?;
        let Some((challenge, secrets)) = armed else {
            return Ok(());
        };
        // The new address is not named: the old one may be a stranger's, registered by mistake and now corrected.
        let happened = format!("The email address of your {} account was changed.", context.mailer.product());
        let details = self.origin.as_ref().map(Origin::details);
        let letter = Letter {
            subject: "Your email address was changed",
            paragraphs: &[
                &happened,
                "If this was you, there's nothing to do. If not, undo the change: the account gets this address back, \
                 everyone is logged out of it, and we send you a link for a new password.",
            ],
            details: details.as_ref().map_or(&[], |details| details.as_slice()),
            action: Some(Action {
                label: "Undo the change",
                link: &context.link("undo-email-change", &secrets),
            }),
            notes: &[
                "The link works for 7 days. We'll keep this address reserved for you until then.",
                "The link stops working earlier if the password is reset through the new address 24 hours or more \
                 after the change.",
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, challenge.email.given(), &letter).await
    }
}
