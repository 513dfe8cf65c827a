//! Sends the mail that invites a person to choose a password.

use serde::{Deserialize, Serialize};

use super::{CODE_LIFETIME, MailContext, arm_for, keep_secret};
use crate::{
    auth::challenges::Purpose,
    db::UserId,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    users::{self, Account},
};

/// Mails a link and a code to a person whom an admin has invited, unless a password was chosen in the meantime.
#[derive(Serialize, Deserialize)]
pub struct InvitationMail {
    pub user: UserId,
}

impl Job for InvitationMail {
    const KIND: &'static str = "mail-invitation";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let user = self.user;
        let found = context
            .query_tx(move |conn, keys| {
                let account = users::lock_account(conn, user)?;
                let Some(account) = account.filter(Account::can_be_invited) else {
                    return Ok(None);
                };
                let armed = arm_for(conn, keys, &running, Purpose::AcceptInvitation, &account)?;
                Ok(armed.map(|secrets| (account, secrets)))
            })
            .await?;
        let Some((account, secrets)) = found else {
            return Ok(());
        };
        let product = context.mailer.product();
        let subject = format!("You're invited to {product}");
        let invited = format!(
            "An administrator of {product} has created an account for you. Choose a password to log in."
        );
        let letter = Letter {
            subject: &subject,
            paragraphs: &[&invited],
            action: Some(Action {
                label: "Choose a password",
                link: &context.link("accept-invitation", &secrets),
            }),
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                "The link works once, for 7 days.",
                "Don't want an account? You can ignore this email.",
                &keep_secret("link or code", product),
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
