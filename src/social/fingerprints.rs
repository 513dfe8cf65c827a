//! Makes keyed hashes that recognise repeated posts, texts and authors without storing them.
//!
//! A hash is 64 bits of an HMAC-SHA-256 under a key that HKDF derives from `SECRET_KEY`. So the database alone neither
//! reveals the content nor confirms a guess. Hashes are specific to a coin, so they cannot show that an author writes
//! about several coins. After a change of `SECRET_KEY` old hashes match nothing: until they expire, some posts may count
//! twice.

use aws_lc_rs::hmac::{self, Context, HMAC_SHA256, Key};

use crate::{config::SecretKey, db::CoinId, tokens::derive_key};

/// The key of the hashes.
#[derive(Clone)]
pub struct Fingerprints(Key);

impl Fingerprints {
    pub fn new(secret: &SecretKey) -> Self {
        Self(Key::new(HMAC_SHA256, &derive_key(secret.current.expose().as_bytes(), b"posts v1")))
    }

    pub(super) fn of_post(&self, coin: CoinId, id: &str) -> i64 {
        self.of("post", coin, |context| context.update(id.as_bytes()))
    }

    /// Returns the same hash for all posts of an author within an hour of Unix time.
    pub(super) fn of_author(&self, coin: CoinId, hour: i64, author: &str) -> i64 {
        self.of("author", coin, |context| {
            context.update(&hour.to_be_bytes());
            context.update(author.as_bytes());
        })
    }

    /// Returns the same hash for texts that differ only in case, white space, addresses or handles.
    pub(super) fn of_text(&self, coin: CoinId, text: &str) -> i64 {
        let is_word = |word: &&str| !word.contains("://") && !word.starts_with('@');
        let mut words = text.split_whitespace().filter(is_word).peekable();
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

    /// Hashes a message of `kind`, the coin and the parts that `write` adds. No two messages are equal: no kind begins with
    /// another one, and all parts but the last have a fixed length.
    fn of(&self, kind: &str, coin: CoinId, write: impl FnOnce(&mut Context)) -> i64 {
        let mut context = Context::with_key(&self.0);
        context.update(kind.as_bytes());
        context.update(&coin.0.to_be_bytes());
        write(&mut context);
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
    fn hashes_differ_by_secret_coin_and_kind() {
        let (one, two) = (fingerprints("one"), fingerprints("two"));
        let all = |of: &Fingerprints, coin| {
            let coin = CoinId(coin);
            [of.of_post(coin, "x"), of.of_author(coin, 7, "x"), of.of_text(coin, "x")]
        };
        assert_eq!(all(&one, 1), all(&fingerprints("one"), 1));
        let mut different = [all(&one, 1), all(&one, 2), all(&two, 1)].concat();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 9);
    }

    #[test]
    fn an_author_has_another_hash_every_hour() {
        let one = fingerprints("one");
        assert_eq!(one.of_author(CoinId(1), 7, "x"), one.of_author(CoinId(1), 7, "x"));
        assert_ne!(one.of_author(CoinId(1), 7, "x"), one.of_author(CoinId(1), 8, "x"));
    }

    #[test]
    fn the_hash_of_a_text_ignores_case_space_addresses_and_handles() {
        let text = |text| fingerprints("one").of_text(CoinId(1), text);
        assert_eq!(text("I love Bitcoin"), text(" i LOVE  bitcoin https://example.com @you"));
        assert_ne!(text("I love Bitcoin"), text("I love Bit coin"));
        assert_ne!(text("@you"), text("@me"));
    }
}
