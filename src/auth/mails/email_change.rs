//! Sends the mail that confirms a new address.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CODE_LIFETIME, MailContext, TIME, address_in_use::arm_unless_in_use, keep_secret};
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
        let product = context.mailer.product();
        let asked = format!(
            "Someone asked to use this email address for an existing {product} account. Confirm it only if the account \
             is yours and you asked for the change."
        );
        let letter = Letter {
            subject: "Confirm your new email address",
            paragraphs: &[&asked, RISK],
            details: &[("Account created", account.created_at.format(TIME).to_string())],
            action: Some(Action {
                label: "Confirm new email",
                link: &context.link("confirm-email-change", &secrets),
            }),
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                "The link works for 24 hours.",
                "Didn't ask for this? You can ignore this email. The account keeps its current address.",
                &keep_secret("link or code", product),
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, challenge.email.given(), &letter).await
    }
}
