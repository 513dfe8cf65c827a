//! Sends the mail with the link and the code that reset a password.

use serde::{Deserialize, Serialize};

use super::{CODE_LIFETIME, MailContext, arm_for, keep_secret};
use crate::{
    auth::challenges::Purpose,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    users::{self, EmailAddress, Status},
};

/// Mails a link and a code for a new password if an account has this address.
#[derive(Serialize, Deserialize)]
pub struct ResetMail {
    pub email: String,
    #[serde(default)]
    pub reason: Reason,
}

/// Why a new password is needed.
#[derive(Serialize, Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    #[default]
    Asked,
    /// A change of the address by someone who knew the password was undone.
    Undone,
}

impl Job for ResetMail {
    const KIND: &'static str = "mail-password-reset";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let Some(email) = EmailAddress::parse(&self.email) else {
            return Ok(());
        };
        let found = context
            .query_tx(move |conn, keys| {
                let account = users::lock_account_of(conn, &email)?;
                let Some(account) = account.filter(|account| account.status != Status::Disabled) else {
                    return Ok(None);
                };
                let armed = arm_for(conn, keys, &running, Purpose::ResetPassword, &account)?;
                Ok(armed.map(|secrets| (account, secrets)))
            })
            .await?;
        let Some((account, secrets)) = found else {
            return Ok(());
        };
        let product = context.mailer.product();
        let (subject, asked, otherwise) = match self.reason {
            Reason::Asked => (
                "Reset your password",
                format!("We received a request for a new password for your {product} account."),
                "Didn't ask for this? You can ignore this email. Your password stays the same.",
            ),
            Reason::Undone => (
                "Choose a new password",
                format!(
                    "Your {product} account has this email address back. Choose a new password now: the person who \
                     changed the address knew the current one."
                ),
                "Have you already chosen one since? Then there's nothing to do.",
            ),
        };
        let letter = Letter {
            subject,
            name: account.greeting(),
            paragraphs: &[&asked],
            action: Some(Action {
                label: "Choose a new password",
                link: &context.link("reset-password", &secrets),
            }),
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                "The link works once, for 30 minutes.",
                otherwise,
                &keep_secret("link or code", product),
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
