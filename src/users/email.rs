//! Parses email addresses. Mail goes to the address as entered (in NFKC); a canonical form decides what is unique.

use std::fmt;

use diesel::Queryable;
use lettre::Address;
use unicode_normalization::UnicodeNormalization;
use validator::{ValidateEmail, ValidationError};

/// RFC 5321 section 4.5.3.1.3, less the angle brackets.
const MAX_LENGTH: usize = 254;
/// In bytes, before folding, which takes time and can turn one character into eighteen. No spelling of an address has
/// more than four bytes for one byte of the canonical form.
const MAX_UNFOLDED: usize = 1024;

/// An email address. In a row it stands for two columns, in this order: `email` and `email_canonical`.
#[derive(Queryable, Clone, PartialEq, Eq)]
pub struct EmailAddress {
    given: String,
    canonical: String,
}

impl EmailAddress {
    /// Parses an address; None if it is not one (the syntax of HTML's `<input type=email>`, with Unicode).
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_UNFOLDED {
            return None;
        }
        // It must have an @ before folding, which could make one.
        text.rsplit_once('@')?;
        // NFKC, so that mail goes to the domain of the canonical form. With NFC, some characters would lead to another
        // domain (U+03F2) or to none (U+2024).
        let given: String = text.trim().nfkc().collect();
        let folded: String = given.chars().flat_map(char::to_lowercase).nfkc().collect();
        let (local, domain) = folded.rsplit_once('@')?;
        let domain = idna::domain_to_ascii_strict(domain).ok()?;
        let canonical = format!("{local}@{domain}");
        let usable = canonical.len() <= MAX_LENGTH
            && given.len() <= MAX_LENGTH
            && domain.contains('.')
            && !given.chars().any(|c| c.is_control() || c.is_whitespace())
            && canonical.validate_email();
        usable.then_some(Self { given, canonical })
    }

    /// Whether mail can be sent to the address. HTML's syntax allows misplaced dots and numeric domains, so they are
    /// checked here. `=?` begins an encoded word (RFC 2047): some mail servers decode it and send to another address.
    fn is_deliverable(&self) -> bool {
        let (local, domain) = self.canonical.rsplit_once('@').expect("parsed");
        let last = domain.rsplit('.').next().unwrap_or_default();
        Address::new(local, domain).is_ok()
            && !last.bytes().all(|byte| byte.is_ascii_digit())
            && !local.contains("=?")
    }

    pub fn given(&self) -> &str {
        &self.given
    }

    /// The domain in A-labels (RFC 5891).
    pub fn domain(&self) -> &str {
        self.canonical.rsplit_once('@').expect("parsed").1
    }

    /// The canonical form: trimmed, NFKC, lower case, the domain in A-labels (RFC 5891).
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// For validator: an address that an account may have.
pub fn check_email(email: &str) -> Result<(), ValidationError> {
    EmailAddress::parse(email).map(drop).ok_or_else(not_an_address)
}

/// For validator: a new address of an account, to which mail can be sent.
pub fn check_new_email(email: &str) -> Result<(), ValidationError> {
    EmailAddress::parse(email).filter(EmailAddress::is_deliverable).map(drop).ok_or_else(not_an_address)
}

fn not_an_address() -> ValidationError {
    ValidationError::new("email").with_message("must be an email address".into())
}

/// Hides the address, so that it is never logged.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[email address]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        EmailAddress::parse(text).map(|email| email.canonical)
    }

    #[test]
    fn spellings_of_one_address_have_one_canonical_form() {
        let expected = Some("ada@example.com".to_owned());
        for text in ["ada@example.com", " Ada@Example.COM ", "ａｄａ@example.com", "ADA@EXAMPLE.com\n"] {
            assert_eq!(canonical(text), expected, "{text:?}");
        }
        assert_eq!(canonical("ada@bücher.example").as_deref(), Some("ada@xn--bcher-kva.example"));
        assert_eq!(canonical("ada@xn--bcher-kva.example"), canonical("ADA@BÜCHER.example"));
    }

    #[test]
    fn mail_goes_to_the_domain_of_the_canonical_form() {
        for domain in
            ["x\u{3f2}y.example", "x\u{2024}y.example", "x⒈y.example", "ＢÜCHER.example", "straẞe.example"]
        {
            let email = EmailAddress::parse(&format!("ａda@{domain}")).expect("an address");
            let (local, domain) = email.given().rsplit_once('@').expect("an address");
            assert_eq!(local, "ada");
            let there = idna::domain_to_ascii_strict(domain).expect("a domain");
            assert_eq!(email.canonical(), format!("ada@{there}"));
        }
    }

    #[test]
    fn texts_that_are_not_addresses_are_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "ada@localhost",
            "ada@exa mple.com",
            "ada＠example.com",
            "ada@x＠example.com",
            "ada@example..com",
            "ada\0@example.com",
            "ada@[127.0.0.1]",
            &long,
            // Folds to 18 times as many characters.
            &format!("{}@example.com", "\u{fdfa}".repeat(20_000)),
            &format!("{}ada@example.com", " ".repeat(1024)),
        ] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
    }

    #[test]
    fn new_addresses_to_which_no_mail_can_be_sent_are_refused() {
        for text in [
            "a..da@example.com",
            ".ada@example.com",
            "ada.@example.com",
            "ada@127.0.0.1",
            "=?utf-8?q?root=40corp.example=3e?=@example.com",
            "＝？x@example.com",
        ] {
            assert!(check_email(text).is_ok(), "an account that has it can log in: {text}");
            check_new_email(text).unwrap_err();
        }
        assert!(check_new_email("ada@bücher.example").is_ok());
    }
}
