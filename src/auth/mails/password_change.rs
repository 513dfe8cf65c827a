//! Sends the mail with the code for a new password.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CODE_LIFETIME, KEEP_SECRET, MailContext};
use crate::{
    auth::challenges,
    jobs::{Failure, Job, Running},
    mail::Letter,
    users,
};

/// Mails the code for a change of the password by a logged-in user.
#[derive(Serialize, Deserialize)]
pub struct PasswordChangeMail {
    pub challenge: Uuid,
}

impl Job for PasswordChangeMail {
    const KIND: &'static str = "mail-password-change";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let found = context
            .query_tx(move |conn, keys| {
                let Some((challenge, secrets)) = challenges::arm(conn, keys, self.challenge, running.now)?
                else {
                    return Ok(None);
                };
                let account = challenge.user().map(|id| users::find_account(conn, id)).transpose()?;
                Ok(account.flatten().map(|account| (account, secrets)))
            })
            .await?;
        let Some((account, secrets)) = found else {
            return Ok(());
        };
        let asked =
            format!("You asked to change the password of your account at {}.", context.mailer.product());
        let letter = Letter {
            subject: "Your code for a new password",
            name: account.greeting(),
            paragraphs: &[&asked],
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                "If it was not you, someone else is logged in to your account and knows your password: choose a \
                 new one at once.",
                KEEP_SECRET,
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
