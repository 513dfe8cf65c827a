//! Makes and checks the links in mails that delete alerts without a log-in.
//!
//! A token is an HMAC-SHA-256 (RFC 2104) over the ids of alerts, under a key from `SECRET_KEY`, and the ids. It permits
//! nothing but to delete these alerts, and ids are never used again, so nothing about it is stored and it does not expire.

use std::sync::Arc;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    config::{Config, Secret, SecretKey},
    tokens::derive_key,
};

/// Alerts that one token deletes. The header of a mail with the link stays below 998 characters (RFC 5322, section 2.1.1).
pub const MAX_ENDED: usize = 25;
/// Characters of a token: base64 of 32 bytes, and of 16 for each alert.
pub const MAX_TOKEN: u64 = 576;
const TAG: usize = 32;

/// Signs under the current secret key, and checks under the current and the previous one.
pub struct EndKeys {
    current: Key,
    previous: Option<Key>,
}

impl EndKeys {
    pub fn new(secret: &SecretKey) -> Self {
        let derive = |secret: &Secret| {
            Key::new(HMAC_SHA256, &derive_key(secret.expose().as_bytes(), b"links that end alerts v1"))
        };
        Self { current: derive(&secret.current), previous: secret.previous.as_ref().map(derive) }
    }

    /// Returns the token that deletes these alerts, at most [`MAX_ENDED`].
    pub(super) fn token(&self, alerts: &[Uuid]) -> String {
        let ids = alerts.iter().flat_map(Uuid::as_bytes).copied().collect::<Vec<u8>>();
        BASE64_URL_SAFE_NO_PAD.encode([hmac::sign(&self.current, &ids).as_ref(), &ids].concat())
    }

    /// Returns the alerts that a token deletes; None if it is not valid.
    pub(super) fn alerts(&self, token: &str) -> Option<Vec<Uuid>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (tag, ids) = bytes.split_at_checked(TAG)?;
        let matches = |key| hmac::verify(key, ids, tag).is_ok();
        if !matches(&self.current) && !self.previous.as_ref().is_some_and(matches) {
            return None;
        }
        let (ids, _) = ids.as_chunks();
        Some(ids.iter().copied().map(Uuid::from_bytes).collect())
    }
}

/// Where the links in mails about alerts lead.
#[derive(Clone)]
pub struct AlertLinks {
    /// `PUBLIC_URL`, where mail programs end alerts.
    public: Arc<str>,
    /// `APP_URL`, or `PUBLIC_URL`, where the built-in page is.
    app: Arc<str>,
    /// `COIN_URL` with the placeholder `{slug}`; None without a page for coins.
    coin: Option<Arc<str>>,
}

impl AlertLinks {
    pub fn new(config: &Config) -> Self {
        let public_url = &config.server.public_url;
        Self {
            public: public_url.as_str().into(),
            app: config.mail.app_url.as_ref().unwrap_or(public_url).as_str().into(),
            coin: config.mail.coin_url.as_deref().map(Into::into),
        }
    }

    /// The page of a coin.
    pub(super) fn coin(&self, slug: &str) -> Option<String> {
        Some(self.coin.as_ref()?.replace("{slug}", slug))
    }

    /// The page that asks first, for people. Browsers do not send the fragment to servers, so no server logs the token.
    pub(super) fn page(&self, token: &str) -> String {
        format!("{}/end-alerts#token={token}", self.app)
    }

    /// The address for mail programs (RFC 8058): a POST deletes the alerts, a GET shows the built-in page.
    pub(super) fn one_click(&self, token: &str) -> String {
        format!("{}/end-alerts?token={token}", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: &str, previous: Option<&str>) -> EndKeys {
        EndKeys::new(&SecretKey { current: Secret::new(current), previous: previous.map(Secret::new) })
    }

    #[test]
    fn a_token_names_its_alerts_and_cannot_be_made_without_the_key() {
        let ids: Vec<Uuid> = (0..MAX_ENDED).map(|_| Uuid::now_v7()).collect();
        let token = keys("one", None).token(&ids);
        assert_eq!(u64::try_from(token.len()).expect("short"), MAX_TOKEN);
        assert_eq!(keys("one", None).alerts(&token).as_ref(), Some(&ids));
        assert_eq!(keys("two", Some("one")).alerts(&token), Some(ids));
        assert_eq!(keys("two", None).alerts(&token), None);
        for position in [0, 40, 60, 500] {
            let mut other = token.clone().into_bytes();
            other[position] = if other[position] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(keys("one", None).alerts(&other), None, "{position}");
        }
        for short in [
            String::new(),
            "A".into(),
            "AAAA".into(),
            token.chars().take(42).collect(),
            token.chars().take(64).collect(),
        ] {
            assert_eq!(keys("one", None).alerts(&short), None, "{short}");
        }
    }
}
