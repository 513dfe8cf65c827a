//! What may be a password: NIST SP 800-63B section 3.1.1.2, so length and no composition
//! rules, but nothing that an attacker tries first.

use std::{collections::HashSet, sync::LazyLock};

use validator::ValidationError;

const SHORTEST: usize = 8;
const LONGEST: usize = 256;

/// The entries of 8 or more characters of Django's list of 20,000 common passwords (BSD-3-Clause).
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

/// Checks a new password of the person with these other fields (e-mail address, names).
///
/// # Errors
/// `too-short`, `too-long`, `common` or `personal`.
pub fn check(password: &str, personal: &[Option<&str>]) -> Result<(), ValidationError> {
    let refused = |code, message: String| Err(ValidationError::new(code).with_message(message.into()));
    let length = password.chars().count();
    if length < SHORTEST {
        return refused("too-short", format!("must have at least {SHORTEST} characters"));
    }
    if length > LONGEST {
        return refused("too-long", format!("must have at most {LONGEST} characters"));
    }
    let lower = password.to_lowercase();
    let same_character = lower.chars().skip(1).eq(lower.chars().take(length - 1));
    if same_character || COMMON.contains(lower.as_str()) {
        return refused("common", "is one of the passwords that are tried first".into());
    }
    if personal.iter().flatten().any(|text| is_mostly(&lower, &text.to_lowercase())) {
        return refused("personal", "must not be your e-mail address or name".into());
    }
    Ok(())
}

/// Whether the password is this text, or its part before the @, with at most a few more characters.
fn is_mostly(password: &str, text: &str) -> bool {
    let local = text.split('@').next().unwrap_or(text);
    [text, local].iter().any(|part| {
        let part = part.trim();
        part.chars().count() >= 4
            && password.contains(part)
            && password.chars().count() - part.chars().count() < 4
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
    }

    #[test]
    fn length_counts_code_points_and_any_character_will_do() {
        assert_eq!(code(&"🦀🐙🦊🐝".repeat(16)), "ok", "64 emoji");
        assert_eq!(code("correct horse battery"), "ok");
        assert_eq!(code("пароль из слов"), "ok");
    }
}
