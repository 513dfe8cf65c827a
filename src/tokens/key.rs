//! One signing key: how it is generated, encrypted and published.
//!
//! A key has one algorithm, which is stored with it and not taken from a token (RFC 8725 section 3.1). The id of a key is
//! the thumbprint of its public half, which covers the type of the key: a row whose algorithm was changed is not opened.

use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_lc_rs::{
    encoding::AsDer,
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};

use super::seal::{Sealer, derive_key};
use crate::config::SigningAlgorithm;

/// NIST SP 800-57 accepts 2048 bits until the end of 2030, and keys are replaced long before. 3072 bits would triple the
/// time of a signature, which every log-in and refresh pays.
const RSA_SIZE: KeySize = KeySize::Rsa2048;

/// The keys that are made from one row.
pub(super) struct Key {
    /// The `alg` of the access tokens that it signs.
    pub algorithm: Algorithm,
    pub public: Jwk,
    /// For access tokens: other services verify them.
    pub access: Pair,
    /// HMAC-SHA-256, for refresh tokens: only this server verifies them, and it costs a fiftieth.
    pub refresh: Pair,
}

pub(super) struct Pair {
    pub signing: EncodingKey,
    pub verifying: DecodingKey,
}

impl Key {
    pub fn new(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Self> {
        let (algorithm, signing) = match algorithm {
            SigningAlgorithm::EdDsa => (Algorithm::EdDSA, EncodingKey::from_ed_der(pkcs8)),
            SigningAlgorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_der(pkcs8)),
            SigningAlgorithm::Rs256 => (Algorithm::RS256, EncodingKey::from_rsa_der(pkcs1(pkcs8)?)),
        };
        let mut public = Jwk::from_encoding_key(&signing, algorithm)?;
        public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256)?);
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let access = Pair { signing, verifying: DecodingKey::from_jwk(&public)? };
        // Derived from the private key, so that it is rotated and encrypted together with it.
        let secret = derive_key(pkcs8, b"refresh tokens v1");
        let refresh =
            Pair { signing: EncodingKey::from_secret(&secret), verifying: DecodingKey::from_secret(&secret) };
        Ok(Self { algorithm, public, access, refresh })
    }

    /// As [`Key::new`], for the key of a row.
    pub fn of_row(kid: &str, algorithm: &str, pkcs8: &[u8]) -> Result<Self> {
        let known = algorithm.parse().ok();
        let known = known
            .with_context(|| format!("the signing key {kid} is for {algorithm:?}, which is not known"))?;
        let key = Self::new(known, pkcs8)
            .with_context(|| format!("the signing key {kid} is not one for {algorithm}"))?;
        ensure!(key.kid() == kid, "the signing key {kid} is another one than its id says");
        Ok(key)
    }

    pub fn kid(&self) -> &str {
        self.public.common.key_id.as_deref().expect("set by new")
    }
}

/// A generated key, encrypted, which is not stored yet.
pub struct NewKey {
    pub(super) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) sealed: Vec<u8>,
}

impl NewKey {
    /// Generates a key. One for RS256 takes a tenth of a second or more: not on a thread that serves requests.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn generate(sealer: &Sealer, algorithm: SigningAlgorithm) -> Result<Self> {
        let pkcs8 = generate(algorithm)?;
        let kid = Key::new(algorithm, &pkcs8)?.kid().to_owned();
        let sealed = sealer.seal(&pkcs8, &kid).map_err(|_| anyhow!("the key cannot be encrypted"))?;
        Ok(Self { kid, algorithm, sealed })
    }
}

/// Generates a private key in PKCS#8.
pub(super) fn generate(algorithm: SigningAlgorithm) -> Result<Vec<u8>> {
    let pkcs8 = match algorithm {
        SigningAlgorithm::EdDsa => {
            Ed25519KeyPair::generate().and_then(|pair| Ok(pair.to_pkcs8v1()?.as_ref().to_vec()))
        }
        SigningAlgorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| Ok(pair.to_pkcs8v1()?.as_ref().to_vec())),
        SigningAlgorithm::Rs256 => {
            rsa::KeyPair::generate(RSA_SIZE).and_then(|pair| Ok(pair.as_der()?.as_ref().to_vec()))
        }
    };
    pkcs8.map_err(|_| anyhow!("the key cannot be generated"))
}

/// The `RSAPrivateKey` (RFC 8017) inside an RSA key in PKCS#8 (RFC 5208), which is the form that jsonwebtoken wants. A key
/// of 2048 bits has lengths of two bytes, so everything before it has 26 bytes.
fn pkcs1(pkcs8: &[u8]) -> Result<&[u8]> {
    const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    match pkcs8.split_at_checked(26) {
        Some((head, key)) if head[7..22] == RSA_ENCRYPTION && head[22..24] == [4, 0x82] => Ok(key),
        _ => bail!("not an RSA key of 2048 bits"),
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn a_key_is_bound_to_its_algorithm() {
        for algorithm in SigningAlgorithm::VARIANTS {
            let pkcs8 = generate(*algorithm).expect("a key");
            let kid = Key::new(*algorithm, &pkcs8).expect("a key").kid().to_owned();
            for other in SigningAlgorithm::VARIANTS {
                assert_eq!(
                    Key::of_row(&kid, other.as_str(), &pkcs8).is_ok(),
                    other == algorithm,
                    "{other:?}"
                );
            }
            assert!(
                Key::of_row(&kid, "none", &pkcs8).is_err()
                    && Key::of_row("other", algorithm.as_str(), &pkcs8).is_err()
            );
        }
    }

    #[test]
    fn a_published_key_has_the_members_of_its_type_and_no_private_ones() {
        for (algorithm, members) in [
            (SigningAlgorithm::EdDsa, &["alg", "crv", "kid", "kty", "use", "x"][..]),
            (SigningAlgorithm::Es256, &["alg", "crv", "kid", "kty", "use", "x", "y"]),
            (SigningAlgorithm::Rs256, &["alg", "e", "kid", "kty", "n", "use"]),
        ] {
            let key = Key::new(algorithm, &generate(algorithm).expect("a key")).expect("a key");
            let json = serde_json::to_value(&key.public).expect("JSON");
            let mut names: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, members);
            assert_eq!((&json["alg"], &json["use"]), (&algorithm.as_str().into(), &"sig".into()));
        }
    }
}
