//! Settings of who may have an account.

use std::str::FromStr;

use super::env::Env;

/// Who gets an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationMode {
    Open,
    /// People whom an admin has invited.
    Invitation,
    /// No one: admins cannot invite either.
    Closed,
}

/// Who may register, and with which addresses.
#[derive(Clone, Debug)]
pub struct Registration {
    pub mode: RegistrationMode,
    /// Empty for all.
    pub domains: Vec<DomainPattern>,
}

/// `example.com`, or `*.example.com` for all its sub-domains. Written in A-labels (RFC 5891).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPattern {
    /// Without `*.`.
    domain: String,
    is_wildcard: bool,
}

impl Registration {
    pub(super) fn read(env: &mut Env, require_confirmation: bool) -> Self {
        let modes = [
            ("open", RegistrationMode::Open),
            ("invitation", RegistrationMode::Invitation),
            ("closed", RegistrationMode::Closed),
        ];
        let mode = env.choice("REGISTRATION", RegistrationMode::Open, &modes);
        let domains: Vec<DomainPattern> = env.list(
            "REGISTRATION_DOMAINS",
            "domains such as example.com, or *.example.com for its sub-domains",
        );
        env.warn_if(
            !domains.is_empty() && !require_confirmation && mode == RegistrationMode::Open,
            "REGISTRATION_DOMAINS is set without REQUIRE_CONFIRMATION: anyone can register with an address of these \
             domains that is not theirs",
        );
        Self { mode, domains }
    }

    /// Whether addresses of this domain, which is written in A-labels, are allowed.
    pub fn allows_domain(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|pattern| pattern.matches(domain))
    }
}

impl DomainPattern {
    fn matches(&self, domain: &str) -> bool {
        match domain.strip_suffix(self.domain.as_str()) {
            Some("") => !self.is_wildcard,
            Some(rest) => self.is_wildcard && rest.ends_with('.') && rest.len() > 1,
            None => false,
        }
    }
}

impl std::fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.is_wildcard { "*." } else { "" }, self.domain)
    }
}

/// Not a domain.
#[derive(Debug)]
pub struct NoDomain;

impl FromStr for DomainPattern {
    type Err = NoDomain;

    fn from_str(text: &str) -> Result<Self, NoDomain> {
        let text = text.to_lowercase();
        let (domain, is_wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text.as_str(), false),
        };
        // As the domain of an address is folded, so that they can be compared.
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| NoDomain)?;
        let is_domain = domain.split('.').all(|label| !label.is_empty()) && domain.contains('.');
        if is_domain { Ok(Self { domain, is_wildcard }) } else { Err(NoDomain) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &str, domain: &str) -> bool {
        let domains = patterns.split(',').map(|text| text.parse().expect("a domain")).collect();
        Registration { mode: RegistrationMode::Open, domains }.allows_domain(domain)
    }

    #[test]
    fn domains_are_exact_and_sub_domains_need_a_wildcard() {
        for (patterns, domain, expected) in [
            ("example.com", "example.com", true),
            ("EXAMPLE.com", "example.com", true),
            ("example.com", "mail.example.com", false),
            ("example.com", "notexample.com", false),
            ("example.com", "example.com.evil.test", false),
            ("*.example.com", "mail.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "notexample.com", false),
            ("*.example.com", ".example.com", false),
            ("example.com,*.example.com", "example.com", true),
            ("b\u{fc}cher.example", "xn--bcher-kva.example", true),
            ("*.B\u{dc}CHER.example", "a.xn--bcher-kva.example", true),
        ] {
            assert_eq!(allows(patterns, domain), expected, "{patterns} {domain}");
        }
        assert!(Registration { mode: RegistrationMode::Open, domains: vec![] }.allows_domain("any.example"));
    }

    #[test]
    fn other_texts_are_no_domains() {
        for text in [
            "*",
            "*.",
            "",
            "example",
            "*.com",
            "@example.com",
            "ada@example.com",
            ".example.com",
            "example.com.",
        ] {
            assert!(text.parse::<DomainPattern>().is_err(), "{text}");
        }
        for text in
            ["a..b", "https://example.com", "example.com/", "*.*.example.com", "ex*mple.com", "a b.com"]
        {
            assert!(text.parse::<DomainPattern>().is_err(), "{text}");
        }
    }
}
