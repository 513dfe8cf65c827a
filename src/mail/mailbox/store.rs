//! Keeps the last mails in memory.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

/// Mails that are kept, and their bytes together: the oldest go first.
const MAX_MAILS: usize = 100;
const MAX_BYTES: usize = 4 << 20;

/// The last mails that this server has sent. They are gone after a restart.
#[derive(Default)]
pub struct SentMails(Mutex<VecDeque<SentMail>>);

#[derive(Clone, Debug, Serialize)]
pub struct SentMail {
    /// Of the job, and so of the Message-ID.
    pub id: Uuid,
    pub sent_at: DateTime<Utc>,
    pub to: String,
    pub subject: String,
    /// Where the button leads.
    pub link: Option<String>,
    pub code: Option<String>,
    pub text: String,
    pub html: String,
}

impl SentMail {
    fn len(&self) -> usize {
        let texts = [&self.to, &self.subject, &self.text, &self.html];
        texts.into_iter().map(String::len).sum()
    }
}

impl SentMails {
    /// Adds a mail. One that is sent again replaces the one before.
    pub fn add(&self, mail: SentMail) {
        let mut mails = self.0.lock();
        mails.retain(|one| one.id != mail.id);
        mails.push_front(mail);
        while mails.len() > MAX_MAILS || mails.iter().map(SentMail::len).sum::<usize>() > MAX_BYTES {
            mails.pop_back();
        }
    }

    /// Returns the mails, the newest first; only those to this address, if one is given.
    pub fn list(&self, to: Option<&str>) -> Vec<SentMail> {
        let mails = self.0.lock();
        let is_wanted = |mail: &&SentMail| to.is_none_or(|to| mail.to.eq_ignore_ascii_case(to));
        mails.iter().filter(is_wanted).cloned().collect()
    }

    pub fn find(&self, id: Uuid) -> Option<SentMail> {
        self.0.lock().iter().find(|mail| mail.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(number: u128, text: &str) -> SentMail {
        SentMail {
            id: Uuid::from_u128(number),
            sent_at: DateTime::UNIX_EPOCH,
            to: format!("User{}@example.com", number % 2),
            subject: number.to_string(),
            link: None,
            code: None,
            text: text.to_owned(),
            html: String::new(),
        }
    }

    #[test]
    fn the_newest_mails_are_kept_within_both_bounds() {
        let mailbox = SentMails::default();
        for number in 0..150 {
            mailbox.add(mail(number, "short"));
        }
        let kept = mailbox.list(None);
        assert_eq!((kept.len(), kept[0].subject.as_str(), kept[99].subject.as_str()), (100, "149", "50"));
        assert_eq!(mailbox.list(Some("user1@EXAMPLE.com")).len(), 50);
        for number in 200..205 {
            mailbox.add(mail(number, &"x".repeat(1 << 20)));
        }
        assert_eq!(mailbox.list(None).len(), 3, "a fourth would be more than 4 MiB with its address");
        mailbox.add(mail(300, &"x".repeat(MAX_BYTES)));
        assert!(mailbox.list(None).is_empty(), "one that is too large alone is not kept");
    }

    #[test]
    fn a_mail_that_is_sent_again_is_shown_once() {
        let mailbox = SentMails::default();
        mailbox.add(mail(1, "first"));
        mailbox.add(mail(1, "again"));
        assert_eq!(mailbox.list(None).len(), 1);
        assert_eq!(mailbox.find(Uuid::from_u128(1)).expect("kept").text, "again");
        assert!(mailbox.find(Uuid::from_u128(2)).is_none());
    }
}
