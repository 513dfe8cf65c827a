//! Sends the mail with the link and the code that reset a password.

use serde::{Deserialize, Serialize};

use super::{CODE_LIFETIME, KEEP_SECRET, MailContext, arm_for};
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
        let (asked, otherwise) = match self.reason {
            Reason::Asked => (
                format!("Someone, probably you, asked for a new password for your account at {product}."),
                "If it was not you, do nothing: your password stays the same.",
            ),
            Reason::Undone => (
                format!(
                    "Your account at {product} has its e-mail address back. Choose a new password at once: the person \
                     who changed the address knew the current one."
                ),
                "If you have already done so, there is nothing to do.",
            ),
        };
        let letter = Letter {
            subject: "Choose a new password",
            name: account.greeting(),
            paragraphs: &[&asked],
            action: Some(Action {
                label: "Choose a new password",
                link: &context.link("reset-password", &secrets),
            }),
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &["The link works once, for 30 minutes.", otherwise, KEEP_SECRET],
        };
        context.mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
