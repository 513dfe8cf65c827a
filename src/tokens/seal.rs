//! Encrypts values that must not be readable in a stolen database dump.
//!
//! The format is a random 96-bit nonce and the output of AES-256-GCM, under a key that HKDF-SHA-256 (RFC 5869) derives
//! from `SECRET_KEY`. The context (here the key id) is authenticated, so an encrypted value cannot be moved to another
//! row.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
};

use crate::config::{Secret, SecretKey};

/// Encrypts under the current secret key, decrypts under the current or the previous one.
pub struct Sealer {
    current: RandomizedNonceKey,
    previous: Option<RandomizedNonceKey>,
}

/// A decrypted value, and whether it was encrypted under the previous secret key.
pub struct Opened {
    pub plain: Vec<u8>,
    pub outdated: bool,
}

impl Sealer {
    pub fn new(secret: &SecretKey) -> Self {
        Self { current: derive(&secret.current), previous: secret.previous.as_ref().map(derive) }
    }

    pub fn seal(&self, plain: &[u8], context: &str) -> Result<Vec<u8>, Unspecified> {
        let mut text = plain.to_vec();
        let nonce = self.current.seal_in_place_append_tag(Aad::from(context), &mut text)?;
        Ok([nonce.as_ref().as_slice(), &text].concat())
    }

    /// # Errors
    /// The value was encrypted under another secret key or for another context, or was changed.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Opened, Unspecified> {
        if let Ok(plain) = open(&self.current, sealed, context) {
            return Ok(Opened { plain, outdated: false });
        }
        let previous = self.previous.as_ref().ok_or(Unspecified)?;
        open(previous, sealed, context).map(|plain| Opened { plain, outdated: true })
    }
}

fn derive(secret: &Secret) -> RandomizedNonceKey {
    let key = derive_key(secret.expose().as_bytes(), b"signing keys v1");
    RandomizedNonceKey::new(&AES_256_GCM, &key).expect("32 bytes is the key's length")
}

/// Derives a key for one purpose (HKDF-SHA-256, RFC 5869). Keys for different purposes reveal nothing about each other.
pub fn derive_key(secret: &[u8], purpose: &[u8]) -> [u8; 32] {
    let material = Salt::new(HKDF_SHA256, b"mintage").extract(secret);
    let mut key = [0; 32];
    let expanded = material.expand(&[purpose], &AES_256_GCM).and_then(|okm| okm.fill(&mut key));
    expanded.expect("32 bytes is a valid length");
    key
}

fn open(key: &RandomizedNonceKey, sealed: &[u8], context: &str) -> Result<Vec<u8>, Unspecified> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce)?;
    let mut text = text.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(context), &mut text)?;
    Ok(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(current: &str, previous: Option<&str>) -> SecretKey {
        SecretKey { current: Secret::new(current), previous: previous.map(Secret::new) }
    }

    #[test]
    fn a_value_is_decrypted_only_with_its_secret_and_context() {
        let sealed = Sealer::new(&secret("one", None)).seal(b"key", "kid").expect("sealed");
        let opened = Sealer::new(&secret("one", None)).open(&sealed, "kid").expect("opened");
        assert_eq!((opened.plain.as_slice(), opened.outdated), (b"key".as_slice(), false));
        assert!(Sealer::new(&secret("one", None)).open(&sealed, "other").is_err());
        assert!(Sealer::new(&secret("two", None)).open(&sealed, "kid").is_err());
        assert!(Sealer::new(&secret("one", None)).open(&sealed[..20], "kid").is_err());
        assert!(Sealer::new(&secret("one", None)).open(b"", "kid").is_err());
    }

    #[test]
    fn after_a_rotation_the_previous_secret_still_decrypts() {
        let sealed = Sealer::new(&secret("one", None)).seal(b"key", "kid").expect("sealed");
        let opened = Sealer::new(&secret("two", Some("one"))).open(&sealed, "kid").expect("opened");
        assert!(opened.outdated);
    }
}
