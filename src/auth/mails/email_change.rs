use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CODE_LIFETIME, KEEP_IT, Mailing, occupied::arm_unless_occupied};
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// A link and a code to the new address, or, when that is another account's, a notice.
#[derive(Serialize, Deserialize)]
pub struct EmailChangeMail {
    pub challenge: Uuid,
}

impl Job for EmailChangeMail {
    const KIND: &'static str = "mail-email-change";
    type Context = Mailing;

    async fn run(self, running: Running, mailing: &Mailing) -> Result<(), Failure> {
        let Some((challenge, secrets)) = arm_unless_occupied(mailing, &running, self.challenge).await? else {
            return Ok(());
        };
        let asked = format!(
            "Somebody, probably you, wants to use this address for an account at {}.",
            mailing.mailer.product()
        );
        let letter = Letter {
            subject: "Please confirm your new e-mail address",
            paragraphs: &[&asked],
            action: Some(Action {
                label: "Use this address",
                link: &mailing.link("confirm-email-change", &secrets),
            }),
            code: Some((&secrets.code, CODE_LIFETIME)),
            notes: &[
                "The link works for 24 hours.",
                "If it was not you, do nothing: the account keeps the address it has.",
                KEEP_IT,
            ],
            ..Letter::default()
        };
        mailing.mailer.send_letter(&running, &challenge.email, &letter).await
    }
}
