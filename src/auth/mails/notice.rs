//! Sends notices about changes of an account to its owner.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{MailContext, Origin};
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
    tokens::{Client, device_of},
    users::EmailAddress,
};

/// Mails what has happened, without any secret, to the address that the account had at that time.
#[derive(Serialize, Deserialize)]
pub struct NoticeMail {
    pub email: String,
    pub notice: Notice,
    /// Who did it, if the address is confirmed and it is the owner's business. Absent in older jobs.
    #[serde(default)]
    pub origin: Option<Origin>,
}

impl NoticeMail {
    pub fn to(email: &EmailAddress, notice: Notice) -> Self {
        Self { email: email.given().to_owned(), notice, origin: None }
    }

    /// Adds when and from where it was done.
    pub fn by(mut self, client: &Client, now: DateTime<Utc>) -> Self {
        self.origin = Some(Origin::of(client, now));
        self
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    PasswordChanged,
    /// The user has API keys, which still work.
    PasswordChangedWithKeys,
    /// A refresh token of this session was used twice.
    SessionReused {
        logged_in_at: DateTime<Utc>,
        user_agent: Option<String>,
    },
    /// To the former address of an account. It was never confirmed, so the change cannot be undone.
    AddressChanged,
    /// To the address that an account lost because the change was undone.
    AddressTakenBack,
    AccountDeleted,
}

/// The texts of a notice.
struct Content {
    subject: &'static str,
    paragraphs: Vec<String>,
    /// The label and the page of the button, if there is one.
    button: Option<(&'static str, &'static str)>,
}

impl Notice {
    fn content(self, product: &str) -> Content {
        match self {
            Self::PasswordChanged => password_changed(product),
            Self::PasswordChangedWithKeys => with_keys(password_changed(product)),
            Self::SessionReused { logged_in_at, user_agent } => {
                session_reused(product, logged_in_at, &device_of(user_agent.as_deref().unwrap_or_default()))
            }
            Self::AddressChanged => address_changed(product),
            Self::AddressTakenBack => address_taken_back(product),
            Self::AccountDeleted => account_deleted(product),
        }
    }
}

fn password_changed(product: &str) -> Content {
    Content {
        subject: "Your password was changed",
        paragraphs: vec![
            format!(
                "The password of your account at {product} was changed, and you were logged out everywhere. If it \
                 was you, there is nothing to do."
            ),
            "If it was not you, choose another password at once.".into(),
        ],
        button: Some(("Choose another password", "reset-password")),
    }
}

fn with_keys(mut content: Content) -> Content {
    content.paragraphs.push(
        "Your account has API keys for programs. They still work: look at the list of your keys, and revoke those that \
         you do not know."
            .into(),
    );
    content
}

fn session_reused(product: &str, logged_in_at: DateTime<Utc>, device: &str) -> Content {
    let logged_in_at = logged_in_at.format("%-d %B %Y, %H:%M UTC");
    Content {
        subject: "We ended a log-in to your account",
        paragraphs: vec![
            format!(
                "We ended a log-in to your account at {product}: the one of {logged_in_at}, last renewed by \
                 {device}. A log-in is renewed with a key that works once. This key was used twice."
            ),
            "So someone else may have a copy of the key. It can also happen without a theft, for example when a \
             connection breaks at the wrong moment. We cannot tell which it was, so this log-in no longer works for \
             anyone. Your other log-ins still work."
                .into(),
            "Log in again where you need it. If this happens again, choose a new password: that ends all log-ins."
                .into(),
        ],
        button: Some(("Choose a new password", "reset-password")),
    }
}

fn address_changed(product: &str) -> Content {
    Content {
        subject: "An account no longer has this address",
        paragraphs: vec![
            format!(
                "An account at {product} had this e-mail address, which was never confirmed. It has another one \
                 now. If you made this change, or never had such an account, there is nothing to do."
            ),
            "If the account was yours and you did not make this change, someone else knows its password: change it \
             wherever else you use it. The change cannot be undone, because this address was not confirmed. You can \
             register a new account with it."
                .into(),
        ],
        button: None,
    }
}

fn address_taken_back(product: &str) -> Content {
    Content {
        subject: "An account no longer has this address",
        paragraphs: vec![
            format!(
                "The account at {product} that had this e-mail address has its previous address back: the owner of \
                 that address undid the change. All sessions of the account have ended, and you can no longer log \
                 in to it with this address."
            ),
            "What you entered into that account now belongs to the owner of the previous address. If you use its \
             password elsewhere, change it there. You can register an account of your own with this address."
                .into(),
        ],
        button: None,
    }
}

fn account_deleted(product: &str) -> Content {
    Content {
        subject: "Your account was deleted",
        paragraphs: vec![
            format!(
                "Your account at {product} was deleted, with everything in it. If it was you, there is nothing to \
                 do."
            ),
            "If it was not you, someone else knows its password: change it wherever else you use it. The account \
             cannot be restored."
                .into(),
        ],
        button: None,
    }
}

impl Job for NoticeMail {
    const KIND: &'static str = "mail-notice";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let Content { subject, mut paragraphs, button } = self.notice.content(context.mailer.product());
        if let Some(origin) = self.origin {
            paragraphs.insert(1, format!("It was done {}.", origin.words()));
        }
        let button = button.map(|(label, page)| (label, context.page(page)));
        let letter = Letter {
            subject,
            paragraphs: &paragraphs.iter().map(String::as_str).collect::<Vec<_>>(),
            action: button.as_ref().map(|(label, link)| Action { label, link }),
            ..Letter::default()
        };
        context.mailer.send_letter(&running, &self.email, &letter).await
    }
}
