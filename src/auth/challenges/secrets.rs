//! The secrets of challenges: a token for the link, a code to type.
//!
//! Both are derived from the challenge's id, when the mail is built, under a key that HKDF derives from
//! `SECRET_KEY`. A mail that is sent twice, because a server died in between, has the same secrets both times. Neither
//! the queue nor the database holds anything that a thief could use: of the token, which has 256 bits, a SHA-256 is
//! stored; of the code, which has 20 or 40 bits, an HMAC.

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{self, HMAC_SHA256, Key},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::code::CodeForm;
use crate::{
    config::{Secret, SecretKey},
    tokens::derive_key,
    users::EmailAddress,
};

/// The secrets in a mail. Not `Debug`, so that they cannot be logged.
pub struct Secrets {
    pub token: String,
    pub code: String,
}

/// Makes secrets under the current secret key, and checks them under the current and the previous one.
pub struct ChallengeKeys {
    current: Key,
    previous: Option<Key>,
}

impl ChallengeKeys {
    pub fn new(secret: &SecretKey) -> Self {
        let derive = |secret: &Secret| {
            Key::new(HMAC_SHA256, &derive_key(secret.expose().as_bytes(), b"challenges v1"))
        };
        Self { current: derive(&secret.current), previous: secret.previous.as_ref().map(derive) }
    }

    /// Returns the secrets of a challenge: always the same for the same challenge.
    pub fn secrets(&self, challenge: Uuid, form: CodeForm) -> Secrets {
        let token = mac(&self.current, "token", challenge, "");
        let code = mac(&self.current, "code", challenge, "");
        let random = u64::from_be_bytes(*code.as_ref().first_chunk().expect("32 bytes"));
        Secrets { token: BASE64_URL_SAFE_NO_PAD.encode(token), code: form.make(random) }
    }

    /// The salt of the passwords of pending registrations with this address.
    pub fn salt(&self, email: &EmailAddress) -> [u8; 16] {
        let tag = hmac::sign(&self.current, &[b"salt", email.canonical().as_bytes()].concat());
        *tag.as_ref().first_chunk().expect("32 bytes")
    }

    pub(super) fn hash_code(&self, challenge: Uuid, code: &str) -> Vec<u8> {
        mac(&self.current, "check", challenge, code).as_ref().to_vec()
    }

    /// Compares in constant time.
    pub(super) fn is_code(&self, challenge: Uuid, code: &str, hash: &[u8]) -> bool {
        let message = message("check", challenge, code);
        let matches = |key| hmac::verify(key, &message, hash).is_ok();
        matches(&self.current) | self.previous.as_ref().is_some_and(matches)
    }
}

pub(super) fn hash_token(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

fn mac(key: &Key, what: &str, challenge: Uuid, code: &str) -> hmac::Tag {
    hmac::sign(key, &message(what, challenge, code))
}

/// No `what` is the start of another one, and ids have a fixed length, so no two messages are equal.
fn message(what: &str, challenge: Uuid, code: &str) -> Vec<u8> {
    [what.as_bytes(), challenge.as_bytes(), code.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: &str, previous: Option<&str>) -> ChallengeKeys {
        ChallengeKeys::new(&SecretKey { current: Secret::new(current), previous: previous.map(Secret::new) })
    }

    #[test]
    fn secrets_depend_on_the_challenge_and_on_the_key() {
        let (one, id) = (keys("one", None), Uuid::now_v7());
        let of = |keys: &ChallengeKeys, id| keys.secrets(id, CodeForm::EightCharacters);
        let secrets = of(&one, id);
        assert_eq!((secrets.token.len(), secrets.code.len()), (43, 8));
        let again = of(&one, id);
        assert_eq!((&secrets.token, &secrets.code), (&again.token, &again.code));
        for other in [of(&one, Uuid::now_v7()), of(&keys("two", None), id)] {
            assert!(secrets.token != other.token && secrets.code != other.code);
        }
    }

    #[test]
    fn a_code_is_right_for_its_challenge_only_also_after_a_rotation_of_the_secret_key() {
        let (one, id) = (keys("one", None), Uuid::now_v7());
        let hash = one.hash_code(id, "123456");
        assert!(one.is_code(id, "123456", &hash));
        assert!(keys("two", Some("one")).is_code(id, "123456", &hash));
        assert!(!one.is_code(id, "123457", &hash));
        assert!(!one.is_code(Uuid::now_v7(), "123456", &hash));
        assert!(!keys("two", None).is_code(id, "123456", &hash));
    }
}
