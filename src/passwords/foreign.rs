//! Verifies hashes that other systems made, for accounts that were imported with them: bcrypt, argon2id and PBKDF2.
//!
//! They are stored behind [`PREFIX`], because our own hashes are bcrypt too, but of another input. The first log-in with
//! the right password replaces such a hash by one of ours. The author of a hash chooses its cost, so the cost is
//! limited when the hash is imported.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Marks a stored hash as foreign.
const PREFIX: &str = "foreign:";
/// Longer than any hash within the limits.
const MAX_LENGTH: usize = 512;
const MAX_BCRYPT_COST: u32 = 14;
/// In KiB: the default of Django; that of most others is 64 MiB.
const MAX_ARGON2_MEMORY: u32 = 102_400;
const MAX_ARGON2_PASSES: u32 = 10;
/// Memory times passes, in KiB: five passes over the most memory.
const MAX_ARGON2_WORK: u32 = 5 * MAX_ARGON2_MEMORY;
const MAX_ARGON2_LANES: u32 = 16;
/// The default of Django 6 is 1,200,000.
const MAX_PBKDF2_ROUNDS: u32 = 2_000_000;
/// In bytes, of salts and digests.
const MAX_SALT: usize = 64;
const DIGEST: std::ops::RangeInclusive<usize> = 16..=64;

/// With and without padding, as the libraries differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A hash of another system whose cost is within the limits.
#[derive(Debug, PartialEq, Eq)]
pub enum Foreign {
    Bcrypt(String),
    Argon2id { memory: u32, passes: u32, lanes: u32, salt: Vec<u8>, digest: Vec<u8> },
    Pbkdf2 { is_sha512: bool, rounds: NonZeroU32, salt: Vec<u8>, digest: Vec<u8> },
}

/// Why a hash cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// No known form, or damaged.
    Format,
    /// To verify it would cost too much.
    Cost,
}

impl Unusable {
    pub fn code(self) -> &'static str {
        match self {
            Self::Format => "hash-format",
            Self::Cost => "hash-cost",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Format => "must be a hash of bcrypt, argon2id or PBKDF2 with SHA-256 or SHA-512",
            Self::Cost => {
                "costs too much to verify: at most bcrypt cost 14; argon2id m=102400, t=10, p=16, m*t=512000; PBKDF2 \
                 2000000 rounds"
            }
        }
    }
}

/// Returns the form in which a foreign hash is stored.
///
/// # Errors
/// [`Unusable`] if it cannot be verified, or costs too much.
pub fn to_store(hash: &str) -> Result<String, Unusable> {
    Foreign::parse(hash).map(|_| format!("{PREFIX}{hash}"))
}

impl Foreign {
    /// Reads a stored hash; None if it is one of ours.
    pub(super) fn of_stored(stored: &str) -> Option<Result<Self, Unusable>> {
        stored.strip_prefix(PREFIX).map(Self::parse)
    }

    /// Parses the forms of the common libraries: `$2b$…` (also `2a`, `2y`), the PHC string format of argon2id and
    /// PBKDF2, PBKDF2 of passlib and Werkzeug (`pbkdf2:sha256:…`), and Django's `pbkdf2_sha256$…`, `argon2$argon2id$…`
    /// and `bcrypt$$2b$…`.
    fn parse(hash: &str) -> Result<Self, Unusable> {
        if hash.len() > MAX_LENGTH || !hash.is_ascii() {
            return Err(Unusable::Format);
        }
        let hash = hash.strip_prefix("argon2").filter(|rest| rest.starts_with('$')).unwrap_or(hash);
        let hash = hash.strip_prefix("bcrypt$").unwrap_or(hash);
        let parts: Vec<&str> = hash.split('$').collect();
        match parts.as_slice() {
            ["", "2a" | "2b" | "2y", cost, tail] => bcrypt(hash, cost, tail),
            ["", "argon2id", "v=19", costs, salt, digest] => argon2id(costs, salt, digest),
            ["", "pbkdf2-sha256", rounds, salt, digest] => phc_pbkdf2(false, rounds, salt, digest),
            ["", "pbkdf2-sha512", rounds, salt, digest] => phc_pbkdf2(true, rounds, salt, digest),
            // Django hashes the text of the salt.
            ["pbkdf2_sha256", rounds, salt, digest] => {
                pbkdf2(false, rounds, salt.as_bytes().to_vec(), decode(digest)?)
            }
            [method, salt, digest] => werkzeug(method, salt, digest),
            _ => Err(Unusable::Format),
        }
    }

    /// Takes up to a second and 100 MiB.
    pub(super) fn matches(&self, password: &str) -> bool {
        let password = password.as_bytes();
        match self {
            // Only the first 72 bytes count, as where the hash was made.
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2id { memory, passes, lanes, salt, digest } => {
                let mut found = vec![0; digest.len()];
                let Ok(params) = Params::new(*memory, *passes, *lanes, Some(digest.len())) else {
                    return false;
                };
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into(password, salt, &mut found).is_ok()
                    && aws_lc_rs::constant_time::verify_slices_are_equal(&found, digest).is_ok()
            }
            Self::Pbkdf2 { is_sha512, rounds, salt, digest } => {
                let algorithm = if *is_sha512 { PBKDF2_HMAC_SHA512 } else { PBKDF2_HMAC_SHA256 };
                pbkdf2::verify(algorithm, *rounds, salt, password, digest).is_ok()
            }
        }
    }
}

fn bcrypt(hash: &str, cost: &str, tail: &str) -> Result<Foreign, Unusable> {
    let is_tail = tail.len() == 53 && tail.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
    let cost = number(cost).filter(|_| cost.len() == 2 && is_tail).ok_or(Unusable::Format)?;
    hash.parse::<::bcrypt::HashParts>().map_err(|_| Unusable::Format)?;
    match cost {
        0..4 | 32.. => Err(Unusable::Format),
        4..=MAX_BCRYPT_COST => Ok(Foreign::Bcrypt(hash.to_owned())),
        _ => Err(Unusable::Cost),
    }
}

fn argon2id(costs: &str, salt: &str, digest: &str) -> Result<Foreign, Unusable> {
    let costs: Vec<&str> = costs.split(',').collect();
    let [memory, passes, lanes] = costs.as_slice() else {
        return Err(Unusable::Format);
    };
    let read = |text: &str, name: &str| text.strip_prefix(name).and_then(number).ok_or(Unusable::Format);
    let (memory, passes, lanes) = (read(memory, "m=")?, read(passes, "t=")?, read(lanes, "p=")?);
    let (salt, digest) = (decode(salt)?, decode(digest)?);
    if salt.len() < 8 || salt.len() > MAX_SALT || !DIGEST.contains(&digest.len()) {
        return Err(Unusable::Format);
    }
    let is_cheap = memory <= MAX_ARGON2_MEMORY
        && passes <= MAX_ARGON2_PASSES
        && lanes <= MAX_ARGON2_LANES
        && memory * passes <= MAX_ARGON2_WORK;
    if !is_cheap {
        return Err(Unusable::Cost);
    }
    Params::new(memory, passes, lanes, Some(digest.len())).map_err(|_| Unusable::Format)?;
    Ok(Foreign::Argon2id { memory, passes, lanes, salt, digest })
}

/// `i=600000` or `i=600000,l=32` of the PHC string format, or passlib's bare number; passlib writes `.` for `+`.
fn phc_pbkdf2(is_sha512: bool, rounds: &str, salt: &str, digest: &str) -> Result<Foreign, Unusable> {
    let rounds = rounds.strip_prefix("i=").unwrap_or(rounds);
    let rounds = rounds.split_once(",l=").map_or(rounds, |(rounds, _)| rounds);
    let standard = |text: &str| decode(&text.replace('.', "+"));
    pbkdf2(is_sha512, rounds, standard(salt)?, standard(digest)?)
}

/// `pbkdf2:sha256:600000$salt$digest`: the text of the salt, and the digest in hexadecimal.
fn werkzeug(method: &str, salt: &str, digest: &str) -> Result<Foreign, Unusable> {
    let (is_sha512, rounds) = match method.split(':').collect::<Vec<_>>()[..] {
        ["pbkdf2", "sha256", rounds] => (false, rounds),
        ["pbkdf2", "sha512", rounds] => (true, rounds),
        _ => return Err(Unusable::Format),
    };
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let digest: Option<Vec<u8>> = digest.as_bytes().chunks(2).map(byte).collect();
    pbkdf2(is_sha512, rounds, salt.as_bytes().to_vec(), digest.ok_or(Unusable::Format)?)
}

fn pbkdf2(is_sha512: bool, rounds: &str, salt: Vec<u8>, digest: Vec<u8>) -> Result<Foreign, Unusable> {
    let rounds = number(rounds).and_then(NonZeroU32::new).ok_or(Unusable::Format)?;
    if salt.is_empty() || salt.len() > MAX_SALT || !DIGEST.contains(&digest.len()) {
        return Err(Unusable::Format);
    }
    if rounds.get() > MAX_PBKDF2_ROUNDS {
        return Err(Unusable::Cost);
    }
    Ok(Foreign::Pbkdf2 { is_sha512, rounds, salt, digest })
}

/// Digits only: `u32::from_str` also accepts a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn decode(text: &str) -> Result<Vec<u8>, Unusable> {
    BASE64.decode(text).map_err(|_| Unusable::Format)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text: String, head in "(\\$2b|\\$argon2id|pbkdf2_sha256|\\$pbkdf2-sha512)", tail in "[$a-zA-Z0-9=,./+]{0,80}") {
            let _ = Foreign::parse(&text);
            let _ = Foreign::parse(&format!("{head}${tail}"));
        }
    }

    #[test]
    fn our_own_hashes_are_not_foreign() {
        for stored in ["!", "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde"] {
            assert_eq!(Foreign::of_stored(stored), None);
        }
    }

    #[test]
    fn test_vectors_match() {
        // RFC 7914, section 11: the first 32 bytes of PBKDF2-HMAC-SHA-256 of "passwd" and "salt", one round.
        let hash = Foreign::parse("pbkdf2_sha256$1$salt$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLw=");
        let hash = hash.expect("a hash");
        assert!(hash.matches("passwd") && !hash.matches("Passwd"));
        let hash = Foreign::parse(
            "pbkdf2:sha256:1$salt$55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc",
        );
        assert!(hash.expect("a hash").matches("passwd"));
        // Salt and digest with and without padding are the same hash.
        let (one, other) =
            ("pbkdf2_sha256$1$salt$AAAAAAAAAAAAAAAAAAAAAAA=", "pbkdf2_sha256$1$salt$AAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Foreign::parse(one), Foreign::parse(other));
    }
}
