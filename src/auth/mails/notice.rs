use serde::{Deserialize, Serialize};

use super::Mailing;
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
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
