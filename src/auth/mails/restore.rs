//! Sends the mail about a deleted account, with the link that restores it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MailContext, Origin};
use crate::{
    auth::challenges,
    db::UserId,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Mails that the account was deleted, and the link that restores it until it is purged.
#[derive(Serialize, Deserialize)]
pub struct RestoreMail {
    pub challenge: Uuid,
    /// By which the purge of the account finds a mail that could not be sent. Absent in older jobs.
    #[serde(default)]
    pub user: Option<UserId>,
    pub purge_at: DateTime<Utc>,
    /// Who deleted it. Absent in older jobs.
    #[serde(default)]
    pub origin: Option<Origin>,
}

impl Job for RestoreMail {
    const KIND: &'static str = "mail-account-restore";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let armed = context
            .query_tx(move |conn, keys| challenges::arm(conn, keys, self.challenge, running.now))
            .await?;
        let Some((challenge, secrets)) = armed else {
            return Ok(());
        };
        let deleted = format!(
            "Your {} account was deleted. On {} it will be deleted for good, with everything in it.",
            context.mailer.product(),
            self.purge_at.format("%-d %B %Y"),
        );
        let details = self.origin.as_ref().map(Origin::details);
        let letter = Letter {
            subject: "Your account was deleted",
            paragraphs: &[
                &deleted,
                "If this was you, there's nothing to do. If not, or if you've changed your mind, restore the account \
                 until then.",
                "If this wasn't you, someone else knows your password: choose another one afterwards.",
                "If you have made another account with this address since then, delete that one first or change its \
                 address. If someone else has taken your username, the account comes back without it.",
            ],
            details: details.as_ref().map_or(&[], |details| details.as_slice()),
            action: Some(Action {
                label: "Restore the account",
                link: &context.link("restore-account", &secrets),
            }),
            ..Letter::default()
        };
        context.mailer.send_letter(&running, challenge.email.given(), &letter).await
    }
}
