//! Makes keyed hashes that recognise repeated posts, texts and authors without storing them.
//!
//! A hash is 64 bits of an HMAC-SHA-256 under a key that HKDF derives from `SECRET_KEY`; those that a `SimHash` is made of are
//! SipHash-2-4, which is faster, under another one. So the database alone neither reveals the content nor confirms a guess. Hashes are specific to a coin, so they cannot show that an author writes
//! about several coins. After a change of `SECRET_KEY` old hashes match nothing: until they expire, some posts may count
//! twice.

use std::hash::Hasher;

use aws_lc_rs::hmac::{self, Context, HMAC_SHA256, Key};
use siphasher::sip::SipHasher24;

use crate::{config::SecretKey, db::CoinId, tokens::derive_key};

/// A text of fewer words is compared only for equality: one other word in it is another opinion, and few triples make
/// different texts alike by chance.
const MIN_NEAR_WORDS: usize = 10;

/// The keys of the hashes.
#[derive(Clone)]
pub struct Fingerprints {
    key: Key,
    /// Hashes parts of texts.
    triples: SipHasher24,
}

impl Fingerprints {
    pub fn new(secret: &SecretKey) -> Self {
        let secret = secret.current.expose().as_bytes();
        let key = Key::new(HMAC_SHA256, &derive_key(secret, b"posts v1"));
        let triples = derive_key(secret, b"parts of posts v1");
        Self { key, triples: SipHasher24::new_with_key(triples.first_chunk().expect("32 bytes")) }
    }

    pub(super) fn of_post(&self, coin: CoinId, id: &str) -> i64 {
        self.of("post", coin, |context| context.update(id.as_bytes()))
    }

    /// Returns the same hash for all posts of an author about the coin.
    pub(super) fn of_author(&self, coin: CoinId, author: &str) -> i64 {
        self.of("author", coin, |context| context.update(author.as_bytes()))
    }

    /// Returns the same hash for all posts of a conversation about the coin.
    pub(super) fn of_thread(&self, coin: CoinId, thread: &str) -> i64 {
        self.of("thread", coin, |context| context.update(thread.as_bytes()))
    }

    /// Returns the same hash for texts of the same [`words`]. If there are none, the whole text counts without its digits.
    pub(super) fn of_text(&self, coin: CoinId, text: &str, words: &[String]) -> i64 {
        self.of("text", coin, |context| {
            for word in words {
                context.update(word.as_bytes());
                context.update(b" ");
            }
            if words.is_empty() {
                let rest: String = text.chars().filter(|c| !c.is_numeric() && !c.is_whitespace()).collect();
                context.update(rest.to_lowercase().as_bytes());
            }
        })
    }

    /// Returns the `SimHash` (Charikar 2002) of the text: hashes of similar texts differ in few of 64 bits. It is made of
    /// keyed hashes of each three words in a row. None for a text that is too short to be compared.
    pub(super) fn near(&self, coin: CoinId, words: &[String]) -> Option<i64> {
        if words.len() < MIN_NEAR_WORDS {
            return None;
        }
        let mut balance = [0i32; 64];
        for triple in words.windows(3) {
            let mut hasher = self.triples;
            hasher.write(&coin.0.to_be_bytes());
            for word in triple {
                hasher.write(word.as_bytes());
                hasher.write(b" ");
            }
            let hash = hasher.finish();
            for (bit, balance) in balance.iter_mut().enumerate() {
                *balance += if hash >> bit & 1 == 1 { 1 } else { -1 };
            }
        }
        let bits = balance.iter().enumerate().filter(|(_, balance)| **balance > 0);
        Some(bits.fold(0, |hash, (bit, _)| hash | 1 << bit))
    }

    /// Hashes a message of `kind`, the coin and the parts that `write` adds. No two messages are equal: no kind begins with
    /// another one, and all parts but the last have a fixed length.
    fn of(&self, kind: &str, coin: CoinId, write: impl FnOnce(&mut Context)) -> i64 {
        let mut context = Context::with_key(&self.key);
        context.update(kind.as_bytes());
        context.update(&coin.0.to_be_bytes());
        write(&mut context);
        let tag: hmac::Tag = context.sign();
        i64::from_be_bytes(*tag.as_ref().first_chunk().expect("32 bytes"))
    }
}

/// Returns the words of a text in lower case, of their letters only, without links, handles and tags.
pub(super) fn words(text: &str) -> Vec<String> {
    let is_word = |word: &&str| {
        let bare = word.trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '#' | '$' | '@'));
        !bare.starts_with(['#', '$', '@']) && !word.contains("://") && !bare.starts_with("www.")
    };
    let letters =
        |word: &str| word.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    text.split_whitespace()
        .filter(is_word)
        .map(letters)
        .filter(|letters: &String| !letters.is_empty())
        .collect()
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
            let words = words("x");
            [
                of.of_post(coin, "x"),
                of.of_author(coin, "x"),
                of.of_thread(coin, "x"),
                of.of_text(coin, "x", &words),
            ]
        };
        assert_eq!(all(&one, 1), all(&fingerprints("one"), 1));
        let mut different = [all(&one, 1), all(&one, 2), all(&two, 1)].concat();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 12);
    }

    #[test]
    fn the_hash_of_a_text_ignores_all_but_its_words() {
        let text = |text| fingerprints("one").of_text(CoinId(1), text, &words(text));
        assert_eq!(text("I love Bitcoin"), text(" i LOVE  bitcoin https://example.com @you"));
        assert_eq!(text("I love Bitcoin"), text("I love Bitcoin!!! 17 🚀 (#btc) $ETH www.example.com"));
        assert_ne!(text("I love Bitcoin"), text("I love Bit coin"));
        assert_ne!(text("@you"), text("@me"));
        assert_eq!(text("🚀 $BTC 1"), text("🚀 $btc 23"));
    }
}
