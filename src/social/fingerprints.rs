//! What must be recognised when it comes again, and is not kept: posts, their texts, their authors.
//!
//! Kept is 64 bits of an HMAC-SHA-256 under a key that HKDF derives from `SECRET_KEY`. Whoever has
//! the database alone can neither read them nor check a guess. They are made for one coin each, so
//! they do not tell who posts about what. After a change of `SECRET_KEY` nothing is recognised:
//! until the old ones are out of date some posts may count twice.

use aws_lc_rs::hmac::{self, Context, HMAC_SHA256, Key};

use crate::{config::SecretKey, tokens::derive_key};

#[derive(Clone)]
pub struct Fingerprints(Key);

impl Fingerprints {
    #[must_use]
    pub fn new(secret: &SecretKey) -> Self {
        Self(Key::new(HMAC_SHA256, &derive_key(secret.current.expose().as_bytes(), b"posts v1")))
    }

    pub(super) fn of_post(&self, coin: i64, id: &str) -> i64 {
        self.of("post", coin, |context| context.update(id.as_bytes()))
    }

    /// The same for all that an author says within an hour of Unix time.
    pub(super) fn of_author(&self, coin: i64, hour: i64, author: &str) -> i64 {
        self.of("author", coin, |context| {
            context.update(&hour.to_be_bytes());
            context.update(author.as_bytes());
        })
    }

    /// The same for texts that differ in case, white space, addresses or handles only.
    pub(super) fn of_text(&self, coin: i64, text: &str) -> i64 {
        let is_said = |word: &&str| !word.contains("://") && !word.starts_with('@');
        let mut words = text.split_whitespace().filter(is_said).peekable();
        self.of("text", coin, |context| {
            if words.peek().is_none() {
                context.update(text.as_bytes());
            }
            for word in words {
                context.update(word.to_lowercase().as_bytes());
                context.update(b" ");
            }
        })
    }

    /// No word begins with another one, and what follows it up to the last part has a fixed length,
    /// so no two messages are alike.
    fn of(&self, what: &str, coin: i64, say: impl FnOnce(&mut Context)) -> i64 {
        let mut context = Context::with_key(&self.0);
        context.update(what.as_bytes());
        context.update(&coin.to_be_bytes());
        say(&mut context);
        let tag: hmac::Tag = context.sign();
        i64::from_be_bytes(*tag.as_ref().first_chunk().expect("32 bytes"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Secret;

    pub fn fingerprints(secret: &str) -> Fingerprints {
        Fingerprints::new(&SecretKey { current: Secret::new(secret), previous: None })
    }

    #[test]
    fn nothing_is_recognised_without_the_secret_or_for_another_coin() {
        let (one, two) = (fingerprints("one"), fingerprints("two"));
        let all = |of: &Fingerprints, coin| {
            [of.of_post(coin, "x"), of.of_author(coin, 7, "x"), of.of_text(coin, "x")]
        };
        assert_eq!(all(&one, 1), all(&fingerprints("one"), 1));
        let mut different = [all(&one, 1), all(&one, 2), all(&two, 1)].concat();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 9);
    }

    #[test]
    fn an_author_is_another_one_every_hour() {
        let one = fingerprints("one");
        assert_eq!(one.of_author(1, 7, "x"), one.of_author(1, 7, "x"));
        assert_ne!(one.of_author(1, 7, "x"), one.of_author(1, 8, "x"));
    }

    #[test]
    fn a_text_is_the_same_whatever_its_case_space_addresses_and_handles() {
        let text = |text| fingerprints("one").of_text(1, text);
        assert_eq!(text("I love Bitcoin"), text(" i LOVE  bitcoin https://example.com @you"));
        assert_ne!(text("I love Bitcoin"), text("I love Bit coin"));
        assert_ne!(text("@you"), text("@me"));
    }
}
