//! Sends the mail with the code for a new password.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CODE_LIFETIME, MailContext, keep_secret};
use crate::{
    auth::challenges,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
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
        let product = context.mailer.product();
        let asked = format!("You asked to change the password of your {product} account.");
        let letter = Letter {
            subject: "Your code to change your password",
            name: account.greeting(),
            paragraphs: &[&asked],
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                &keep_secret("code", product),
                "Didn't ask for this? Then someone else is logged in to your account and knows your password. Choose a \
                 new one now: this logs everyone out.",
            ],
            second: Some(Action { label: "Choose a new password", link: &context.page("reset-password") }),
            ..Letter::default()
        };
        context.mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
