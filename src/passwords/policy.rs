//! Decides which passwords are allowed, after NIST SP 800-63B section 3.1.1.2: a minimum length, no rules of
//! composition, and none of the passwords that attackers try first.

use std::{collections::HashSet, sync::LazyLock};

use url::Url;
use validator::ValidationError;

const MIN_LENGTH: usize = 8;
const MAX_LENGTH: usize = 256;

/// The entries of 8 or more characters of Django's list of 20,000 common passwords (BSD-3-Clause).
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

/// Checks a new password. `personal` are the person's email address and names.
///
/// # Errors
/// `too-short`, `too-long`, `common` or `personal`.
pub fn check(password: &str, personal: &[Option<&str>]) -> Result<(), ValidationError> {
    let refused = |code, message: String| Err(ValidationError::new(code).with_message(message.into()));
    let length = password.chars().count();
    if length < MIN_LENGTH {
        return refused("too-short", format!("must have at least {MIN_LENGTH} characters"));
    }
    if length > MAX_LENGTH {
        return refused("too-long", format!("must have at most {MAX_LENGTH} characters"));
    }
    let lower = password.to_lowercase();
    let same_character = lower.chars().skip(1).eq(lower.chars().take(length - 1));
    if same_character || COMMON.contains(lower.as_str()) {
        return refused("common", "is too common: attackers try it first".into());
    }
    if personal.iter().flatten().any(|text| is_mostly(&lower, &text.to_lowercase())) {
        return refused("personal", "must not be your email address or name".into());
    }
    Ok(())
}

/// The policy with the words that an attacker of this service tries first (ASVS 6.1.2, 6.2.11): the product's name and
/// the host of the public address.
pub struct Policy {
    context: Vec<String>,
}

impl Policy {
    /// Takes a `public_url` such as `https://api.example.com`. Its labels count too, here `api` and `example`.
    pub fn new(product_name: &str, public_url: &str) -> Self {
        let name = product_name.to_lowercase();
        let url = Url::parse(public_url).ok();
        // Without the numbers of an IP address and the last label, which does not identify the service.
        let labels = url.as_ref().and_then(Url::domain).unwrap_or_default().rsplit('.').skip(1);
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let words = name.split_whitespace().chain(labels).chain([name.as_str(), host]);
        let context = words.map(str::to_owned).chain([name.split_whitespace().collect()]).collect();
        Self { context }
    }

    /// Like [`check`], and also refuses the words of this service, alone or with a year or a few characters more.
    ///
    /// # Errors
    /// `context`, and those of [`check`].
    pub fn check(&self, password: &str, personal: &[Option<&str>]) -> Result<(), ValidationError> {
        check(password, personal)?;
        let lower = password.to_lowercase();
        if self.context.iter().any(|word| is_mostly(&lower, word)) {
            return Err(ValidationError::new("context")
                .with_message("must not be the name or the address of this service".into()));
        }
        Ok(())
    }
}

/// Whether the password is this text, or its part before the @, with at most 3 more characters, or with at most 8 more
/// at its ends that are not letters, such as a year.
fn is_mostly(password: &str, text: &str) -> bool {
    let local = text.split('@').next().unwrap_or(text);
    let letters = |text: &str| text.trim_matches(|c: char| !c.is_alphabetic()).to_owned();
    [text, local].iter().any(|part| {
        let part = part.trim();
        let length = part.chars().count();
        if length < 4 || !password.contains(part) {
            return false;
        }
        match password.chars().count() - length {
            0..=3 => true,
            4..=8 => letters(password) == letters(part),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(password: &str) -> String {
        let personal = [Some("ada.lovelace@example.com"), Some("Ada Lovelace"), None];
        check(password, &personal).map_or_else(|error| error.code.into_owned(), |()| "ok".into())
    }

    #[test]
    fn refusals_have_machine_readable_reasons() {
        assert_eq!(code("short"), "too-short");
        assert_eq!(code(&"x1".repeat(129)), "too-long");
        assert_eq!(code("Password123"), "common");
        assert_eq!(code("aaaaaaaaaaaa"), "common");
        assert_eq!(code("ada.lovelace1"), "personal");
        assert_eq!(code("Ada Lovelace!"), "personal");
        assert_eq!(code("ada.lovelace2026!"), "personal");
        assert_eq!(code("19901231ada.lovelace"), "personal");
        assert_eq!(code("ada.lovelace and others"), "ok");
    }

    #[test]
    fn length_counts_code_points_and_any_character_is_allowed() {
        assert_eq!(code(&"🦀🐙🦊🐝".repeat(16)), "ok", "64 emoji");
        assert_eq!(code("correct horse battery"), "ok");
        assert_eq!(code("пароль из слов"), "ok");
    }

    #[test]
    fn the_services_own_words_are_refused() {
        let policy = Policy::new("Acme Coins", "https://api.Mintage.co.uk:8443/v1");
        let code = |password: &str| {
            policy.check(password, &[]).map_or_else(|error| error.code.into_owned(), |()| "ok".to_owned())
        };
        for password in [
            "Mintage2026",
            "2026mintage!",
            "acmecoins",
            "Acme Coins 1",
            "coins2026!",
            "api.mintage.co.uk",
            "MINTAGE12345678",
        ] {
            assert_eq!(code(password), "context", "{password}");
        }
        for password in
            ["mintage 2026 horse", "mint2026age", "coins and horses", "acme9876543210", "1.co.uk1"]
        {
            assert_eq!(code(password), "ok", "{password}");
        }
        assert_eq!(code("short"), "too-short");

        let policy = Policy::new("Mintage", "http://127.0.0.1:8080");
        for password in ["127.0.0.1", "127.0.0.1!", "mintage1"] {
            assert!(policy.check(password, &[]).is_err(), "{password}");
        }
    }
}
