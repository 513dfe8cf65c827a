use serde::{Deserialize, Serialize};

use super::Mailing;
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Says what has happened, without any secret. It goes to the address that the account had then,
/// whatever became of it since.
#[derive(Serialize, Deserialize)]
pub struct NoticeMail {
    pub email: String,
    pub notice: Notice,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    PasswordChanged,
    /// To the former address of an account, which was never confirmed and so cannot undo the change.
    AddressChanged,
    /// To the address that an account has lost because its change was undone.
    AddressTakenBack,
    AccountDeleted,
}

impl Notice {
    /// The subject, the paragraphs, and the label and the page of the button if there is one.
    fn says(self, product: &str) -> (&'static str, [String; 2], Option<(&'static str, &'static str)>) {
        match self {
            Self::PasswordChanged => (
                "Your password was changed",
                [
                    format!(
                        "Your account at {product} has a new password, and all its sessions have ended. If \
                         you changed it, there is nothing to do."
                    ),
                    "If you did not change it, choose another password at once.".into(),
                ],
                Some(("Choose another password", "reset-password")),
            ),
            Self::AddressChanged => (
                "An account no longer has this address",
                [
                    format!(
                        "An account at {product} had this address, which was never confirmed, and has \
                         another one now. If you made that change, or know of no such account, there is \
                         nothing to do."
                    ),
                    "If the account was yours and you did not change it, somebody knows its password: \
                     change it wherever else you use it. The change cannot be undone, because this address \
                     was not confirmed. You can register again with it."
                        .into(),
                ],
                None,
            ),
            Self::AddressTakenBack => (
                "An account no longer has this address",
                [
                    format!(
                        "The account at {product} that had this address has its former one again: the person \
                         who reads mail there has undone the change. All its sessions have ended, and you \
                         cannot log in to it with this address any more."
                    ),
                    "What you entered into that account now belongs to the person at the former address. If \
                     you used its password elsewhere, change it there. You can register an account of your \
                     own with this address."
                        .into(),
                ],
                None,
            ),
            Self::AccountDeleted => (
                "Your account was deleted",
                [
                    format!(
                        "Your account at {product} was deleted, with everything in it. If you deleted it, \
                         there is nothing to do."
                    ),
                    "If you did not delete it, somebody knows its password: change it wherever else you use \
                     it. The account cannot be restored."
                        .into(),
                ],
                None,
            ),
        }
    }
}

impl Job for NoticeMail {
    const KIND: &'static str = "mail-notice";
    type Context = Mailing;

    async fn run(self, running: Running, mailing: &Mailing) -> Result<(), Failure> {
        let (subject, [happened, otherwise], button) = self.notice.says(mailing.mailer.product());
        let button = button.map(|(label, page)| (label, mailing.page(page)));
        let letter = Letter {
            subject,
            paragraphs: &[&happened, &otherwise],
            action: button.as_ref().map(|(label, link)| Action { label, link }),
            ..Letter::default()
        };
        mailing.mailer.send_letter(&running, &self.email, &letter).await
    }
}
