//! The form of an API key: `mtg_`, 30 random characters and a checksum of 6, all of them letters and digits.
//!
//! The prefix lets secret scanners find a key that was published by mistake. The checksum (CRC-32) lets them, and the
//! server, tell a key from other text without asking the database.

use aws_lc_rs::{
    digest::{self, SHA256},
    rand,
};
use flate2::Crc;

/// The first characters of every key.
pub const PREFIX: &str = "mtg_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random characters: 178 bits.
const RANDOM: usize = 30;
const CHECKSUM: usize = 6;
/// Characters of a key that are shown again, so that its owner recognises it.
const SHOWN: usize = 8;

/// SHA-256 of a key. A slow hash would add nothing, since keys cannot be guessed.
pub type Digest = [u8; 32];

/// A new key, which is shown once.
pub struct NewSecret {
    pub text: String,
    pub digest: Digest,
    pub shown: String,
}

impl NewSecret {
    pub fn random() -> Self {
        let mut body = String::with_capacity(RANDOM);
        let mut bytes = [0; 64];
        while body.len() < RANDOM {
            rand::fill(&mut bytes).expect("the operating system has randomness");
            // 248 is the greatest multiple of 62 in a byte: each digit is equally likely.
            let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| usize::from(byte % 62));
            body.extend(fair.map(|digit| char::from(DIGITS[digit])).take(RANDOM - body.len()));
        }
        let text = format!("{PREFIX}{body}{}", checksum(&body));
        Self { digest: hash(&text), shown: text.chars().take(SHOWN).collect(), text }
    }
}

/// Returns the hash of a key; None if the text is not a key, because it is mistyped or truncated.
pub fn parse(text: &str) -> Option<Digest> {
    let rest = text.strip_prefix(PREFIX)?;
    let is_long_enough =
        rest.len() == RANDOM + CHECKSUM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (body, given) = rest.split_at_checked(RANDOM).filter(|_| is_long_enough)?;
    (checksum(body) == given).then(|| hash(text))
}

fn checksum(body: &str) -> String {
    let mut crc = Crc::new();
    crc.update(body.as_bytes());
    let mut rest = crc.sum() as usize;
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    digits.map(char::from).iter().collect()
}

fn hash(text: &str) -> Digest {
    digest::digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("32 bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_is_recognised_and_different_from_all_others() {
        let keys: Vec<_> = (0..200).map(|_| NewSecret::random()).collect();
        for key in &keys {
            assert_eq!(key.text.len(), 40);
            assert!(key.text.starts_with(&key.shown) && key.shown.len() == 8);
            assert_eq!(parse(&key.text), Some(key.digest));
        }
        assert_eq!(keys.iter().map(|key| key.digest).collect::<HashSet<_>>().len(), keys.len());
    }

    /// Scanners calculate the checksum by themselves, so it must stay as it is.
    #[test]
    fn the_checksum_is_the_crc_32_in_base_62() {
        // CRC-32 of the 30 digits is 0xC0D9D5CB by zlib.
        assert!(parse("mtg_000000000000000000000000000000000000").is_none());
        assert_eq!(checksum("123456789"), to_base_62(0xCBF4_3926), "the check value of CRC-32/ISO-HDLC");
    }

    fn to_base_62(mut number: u64) -> String {
        let mut digits = Vec::new();
        for _ in 0..6 {
            digits.push(char::from(DIGITS[usize::try_from(number % 62).expect("small")]));
            number /= 62;
        }
        digits.iter().rev().collect()
    }

    proptest! {
        #[test]
        fn a_changed_character_is_noticed(at in 4usize..40, other in 0usize..62) {
            let key = NewSecret::random().text;
            let mut changed = key.clone().into_bytes();
            changed[at] = DIGITS[other];
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_eq!(parse(&changed).is_some(), changed == key);
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC*", tail in "mtg_\\PC{0,40}") {
            prop_assert!(parse(&text).is_none() && parse(&tail).is_none());
        }
    }
}
