//! Renders, builds and sends mails.
//!
//! Only jobs send mail, so no request waits for a mail server and no mail is lost during an outage. A mail is a job
//! with a [`Mailer`] as its context; it fills in a [`Letter`] and sends it. `test_mail.rs` is the example to copy.

mod console;
mod file;
mod letter;
pub mod mailbox;
mod mailer;
mod message;
mod smtp;
mod test_mail;

pub use self::{
    letter::{Action, Letter},
    mailbox::SentMails,
    mailer::Mailer,
    test_mail::TestMail,
};

/// A mail without its addresses; `text` and `html` have the same content.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Where the button leads, and the code: for the mailbox page.
    pub link: Option<String>,
    pub code: Option<String>,
    /// The address that ends such mails (RFC 8058).
    pub unsubscribe: Option<String>,
}
