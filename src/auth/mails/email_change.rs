//! Sends the mail that confirms a new address.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CODE_LIFETIME, KEEP_SECRET, MailContext, address_in_use::arm_unless_in_use};
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    users,
};

/// Mails a link and a code to the new address, or a notice if another account has it.
#[derive(Serialize, Deserialize)]
pub struct EmailChangeMail {
    pub challenge: Uuid,
}

/// A stranger may have requested the change: the recipient would then use an account that the stranger can take back.
const RISK: &str = "The person who created the account knows its password, and can take the account back for 7 days \
                    if its previous address was confirmed. If you want an account of your own, register one instead.";

impl Job for EmailChangeMail {
    const KIND: &'static str = "mail-email-change";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let Some((challenge, secrets)) = arm_unless_in_use(context, &running, self.challenge).await? else {
            return Ok(());
        };
        let Some(user) = challenge.user() else {
            return Ok(());
        };
        let Some(account) = context.db.query(move |conn| users::find_account(conn, user)).await? else {
            return Ok(());
        };
        let asked = format!(
            "Someone, probably you, asked to use this e-mail address for an existing account at {}, created on {}. \
             Confirm it only if the account is yours and you asked for the change.",
            context.mailer.product(),
            account.created_at.format("%-d %B %Y at %H:%M UTC")
        );
        let letter = Letter {
            subject: "Please confirm your new e-mail address",
            paragraphs: &[&asked, RISK],
            action: Some(Action {
                label: "Use this address",
                link: &context.link("confirm-email-change", &secrets),
            }),
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                "The link works for 24 hours.",
                "If you did not ask for it, do nothing: the account keeps its current address.",
                KEEP_SECRET,
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, challenge.email.given(), &letter).await
    }
}
