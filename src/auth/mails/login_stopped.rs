//! Sends the mail about stopped log-ins, with the link that allows them again.

use serde::{Deserialize, Serialize};

use super::{MailContext, arm_for};
use crate::{
    auth::challenges::{self, Purpose},
    db::UserId,
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    users,
};

/// Mails the owner that log-ins from new networks are stopped, and the link that allows them again. It is enqueued when
/// the last wrong password in a row is counted, and sent at most once a day by default.
#[derive(Serialize, Deserialize)]
pub struct LoginStoppedMail {
    /// None if no account has the name that was tried. Such a job takes as long to enqueue and mails nothing.
    pub account: Option<UserId>,
}

impl Job for LoginStoppedMail {
    const KIND: &'static str = "mail-login-stopped";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let Some(account) = self.account else {
            return Ok(());
        };
        let limits = context.limits.clone();
        let found = context
            .query_tx(move |conn, keys| {
                let Some(account) = users::lock_account(conn, account)? else {
                    return Ok(None);
                };
                // The last guess may have been right, which resets the count.
                if !users::is_login_stopped(conn, &limits, account.id, running.now)? {
                    return Ok(None);
                }
                // Counted per address, because an account can be deleted and registered again. A retry of this job
                // finds its challenge and does not count again.
                let is_first = !challenges::was_opened(conn, running.id)?;
                if is_first
                    && limits
                        .budgets
                        .take(conn, limits.rates.mails.login_stopped, account.email.canonical(), running.now)?
                        .is_err()
                {
                    return Ok(None);
                }
                let armed = arm_for(conn, keys, &running, Purpose::UnlockLogin, &account)?;
                Ok(armed.map(|secrets| (account, secrets)))
            })
            .await?;
        let Some((account, secrets)) = found else {
            return Ok(());
        };
        let happened = format!(
            "Someone tried 100 times in a row to log in to your {} account with a wrong password, from networks where \
             you haven't logged in recently. None of the attempts succeeded.",
            context.mailer.product()
        );
        let letter = Letter {
            subject: "Log-ins from new places are stopped",
            name: account.greeting(),
            paragraphs: &[
                &happened,
                "To protect your account, we've stopped log-ins from new places. You can still log in from places \
                 where you logged in during the last 30 days.",
                "To log in from a new place, open this email there and press the button. Choosing a new password \
                 there has the same effect.",
            ],
            action: Some(Action {
                label: "Let me log in here",
                link: &context.link("unlock-login", &secrets),
            }),
            notes: &[
                "The link works once, for 24 hours. Don't need it? You can ignore this email.",
                "Is your password short, or do you use it for other services too? Then choose another one.",
            ],
            ..Letter::default()
        };
        context.mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
