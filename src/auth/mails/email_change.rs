use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CODE_LIFETIME, KEEP_IT, Mailing, notice, registration::occupied};
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    tokens::challenges,
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
        let keys = mailing.keys.clone();
        let found = mailing
            .db
            .tx(move |conn| {
                let Some((challenge, secrets)) = challenges::arm(conn, &keys, self.challenge, running.now)?
                else {
                    return Ok(None);
                };
                let occupied = occupied(conn, &challenge, running)?;
                Ok::<_, Failure>(Some((challenge, secrets, occupied)))
            })
            .await?;
        let (challenge, secrets) = match found {
            None => return Ok(()),
            Some((challenge, secrets, None)) => (challenge, secrets),
            Some((challenge, _, Some(occupied))) => {
                return notice::send_occupied(mailing, &running, &challenge, occupied).await;
            }
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
