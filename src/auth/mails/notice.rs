use serde::{Deserialize, Serialize};

use super::Mailing;
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    tokens::challenges::Challenge,
};

/// Tells of something that has happened, without any secret. It goes to the address that the
/// account had then, whatever became of it since.
#[derive(Serialize, Deserialize)]
pub struct NoticeMail {
    pub email: String,
    pub notice: Notice,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    PasswordChanged,
}

impl Job for NoticeMail {
    const KIND: &'static str = "mail-notice";
    type Context = Mailing;

    async fn run(self, running: Running, mailing: &Mailing) -> Result<(), Failure> {
        let Notice::PasswordChanged = self.notice;
        let happened = format!(
            "Your account at {} has a new password, and everybody was logged out of it. If that was you, \
             there is nothing to do.",
            mailing.mailer.product()
        );
        let letter = Letter {
            subject: "Your password was changed",
            paragraphs: &[&happened, "If it was not you, choose another password at once."],
            action: Some(Action { label: "Choose another password", link: &mailing.page("reset-password") }),
            ..Letter::default()
        };
        mailing.mailer.send_letter(&running, &self.email, &letter).await
    }
}

/// Why an address cannot be had.
#[derive(Clone, Copy)]
pub(super) enum Occupied {
    ByAccount,
    /// It was an account's until lately, and may become it again.
    UntilLately,
}

/// To an address that cannot be had, instead of what would confirm it. Whoever asked for it has
/// got the same answer as always.
pub(super) async fn send_occupied(
    mailing: &Mailing,
    running: &Running,
    challenge: &Challenge,
    occupied: Occupied,
) -> Result<(), Failure> {
    let wanted =
        format!("Somebody, probably you, wanted to use this address at {}.", mailing.mailer.product());
    let letter = match occupied {
        Occupied::ByAccount => Letter {
            subject: "You already have an account",
            paragraphs: &[
                &wanted,
                "It has an account there already, so nothing has changed: log in as usual. If you have \
                 forgotten the password, choose a new one.",
            ],
            action: Some(Action { label: "Choose a new password", link: &mailing.page("reset-password") }),
            notes: &["If it was not you, do nothing."],
            ..Letter::default()
        },
        Occupied::UntilLately => Letter {
            subject: "This address is still reserved",
            paragraphs: &[
                &wanted,
                "Until lately an account there had it, and for 7 days that can be undone with the link \
                 that we mailed then. So nothing has changed now; try again later.",
            ],
            notes: &["If it was not you, do nothing."],
            ..Letter::default()
        },
    };
    mailing.mailer.send_letter(running, &challenge.email, &letter).await
}
