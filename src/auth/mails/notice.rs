//! Sends notices about changes of an account to its owner.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{MailContext, Origin, TIME};
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
    /// In addition to when and from where.
    details: Vec<(&'static str, String)>,
    /// The label and the page of the button, if there is one.
    button: Option<(&'static str, &'static str)>,
}

impl Notice {
    fn content(self, product: &str) -> Content {
        match self {
            Self::PasswordChanged => password_changed(product),
            Self::PasswordChangedWithKeys => with_keys(password_changed(product)),
            Self::SessionReused { logged_in_at, user_agent } => {
                session_reused(product, logged_in_at, device_of(user_agent.as_deref().unwrap_or_default()))
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
                "The password of your {product} account was changed, and you've been logged out on all devices."
            ),
            "If this was you, there's nothing to do. If not, choose another password now.".into(),
        ],
        details: Vec::new(),
        button: Some(("Choose another password", "reset-password")),
    }
}

fn with_keys(mut content: Content) -> Content {
    content.paragraphs.push(
        "Your account has API keys for programs, and they still work. Check the list of your keys, and revoke those \
         that you don't know."
            .into(),
    );
    content
}

fn session_reused(product: &str, logged_in_at: DateTime<Utc>, device: String) -> Content {
    Content {
        subject: "We ended a log-in to your account",
        paragraphs: vec![
            format!(
                "We ended one log-in to your {product} account. An app stays logged in with a key that works once, and \
                 this log-in's key was used twice."
            ),
            "Someone may have copied the key, or a connection broke at the wrong moment: we can't tell which. So this \
             log-in no longer works for anyone. Your other log-ins still work."
                .into(),
            "Log in again where you need it. If this happens again, choose a new password: that ends all log-ins."
                .into(),
        ],
        details: vec![
            ("Logged in", logged_in_at.format(TIME).to_string()),
            ("Last used with", device),
        ],
        button: Some(("Choose a new password", "reset-password")),
    }
}

fn address_changed(product: &str) -> Content {
    Content {
        subject: "An account no longer has this address",
        paragraphs: vec![
            format!(
                "A {product} account had this email address, which was never confirmed, and now has another one. If you \
                 made this change, or never had such an account, there's nothing to do."
            ),
            "If the account was yours and you didn't make this change, someone else knows its password: change it \
             wherever else you use it. The change can't be undone, because this address was not confirmed. You can \
             register a new account with it."
                .into(),
        ],
        details: Vec::new(),
        button: None,
    }
}

fn address_taken_back(product: &str) -> Content {
    Content {
        subject: "An account no longer has this address",
        paragraphs: vec![
            format!(
                "The {product} account that had this email address has its previous address back: the owner of that \
                 address undid the change. Everyone has been logged out of the account, and you can no longer log in to \
                 it with this address."
            ),
            "What you entered into that account now belongs to the owner of the previous address. If you use its \
             password elsewhere, change it there. You can register an account of your own with this address."
                .into(),
        ],
        details: Vec::new(),
        button: None,
    }
}

fn account_deleted(product: &str) -> Content {
    Content {
        subject: "Your account was deleted",
        paragraphs: vec![
            format!("Your {product} account was deleted, with everything in it."),
            "If this was you, there's nothing to do. If not, someone else knows your password: change it wherever else \
             you use it. The account can't be restored."
                .into(),
        ],
        details: Vec::new(),
        button: None,
    }
}

impl Job for NoticeMail {
    const KIND: &'static str = "mail-notice";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        let Content { subject, paragraphs, mut details, button } =
            self.notice.content(context.mailer.product());
        details.extend(self.origin.iter().flat_map(Origin::details));
        let button = button.map(|(label, page)| (label, context.page(page)));
        let letter = Letter {
            subject,
            paragraphs: &paragraphs.iter().map(String::as_str).collect::<Vec<_>>(),
            details: &details,
            action: button.as_ref().map(|(label, link)| Action { label, link }),
            ..Letter::default()
        };
        context.mailer.send_letter(&running, &self.email, &letter).await
    }
}
