//! Sends the mail that lets the owner undo a change of the address.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MailContext, Origin};
use crate::{
    auth::challenges,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Mails to the old address after a change: what happened, and the link that undoes it.
#[derive(Serialize, Deserialize)]
pub struct UndoMail {
    pub challenge: Uuid,
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
        let happened = format!(
            "The e-mail address of your account at {} was changed{}. If it was you, there is nothing to do.",
            context.mailer.product(),
            self.origin.map(|origin| format!(" {}", origin.words())).unwrap_or_default(),
        );
        let letter = Letter {
            subject: "Your e-mail address was changed",
            paragraphs: &[
                &happened,
                "If it was not you, undo the change: the account gets this address back, all its sessions end, and \
                 we mail you a link for a new password.",
            ],
            action: Some(Action {
                label: "Undo the change",
                link: &context.link("undo-email-change", &secrets),
            }),
            notes: &[
                "The link works for 7 days. During that time no other account can have this address.",
                "If the password is reset through the new address 24 hours or more after the change, this link \
                 stops working.",
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, challenge.email.given(), &letter).await
    }
}
