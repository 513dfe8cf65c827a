//! Lists the effective settings as lines of `.env`, in the order of `.env.example`, each with where it comes from.

use std::{fmt, path::Path};

use serde::Serialize;

use super::{env::Env, secret_key::SecretKey};

/// Its defaults are the real ones, and all settings stand in it: `tests/settings.rs` compares.
const EXAMPLE: &str = include_str!("../../.env.example");

/// A setting as it applies. Secrets are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub name: &'static str,
    /// None if it is not set and has no default; `[secret]` for a secret.
    pub value: Option<String>,
    /// `default`, `environment`, `.env` or the path of the file that holds a generated key.
    pub source: String,
    pub secret: bool,
    /// A sentence about the default, if that is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// Lists the settings that were read. `source` tells where one that is set comes from.
pub(super) fn list(env: &Env, source: impl Fn(&str) -> &'static str, data_dir: &Path) -> Vec<Setting> {
    let listed = examples().into_iter().map(|Example { name, default, sentence }| {
        let secret = env.secrets.contains(&name);
        if let Some(value) = env.values.get(name) {
            let value = if secret { "[secret]" } else { value };
            return Setting {
                name,
                value: Some(value.into()),
                source: source(name).into(),
                secret,
                default: None,
            };
        }
        let generated = SecretKey::path(data_dir);
        if name == "SECRET_KEY" && generated.exists() {
            let (value, source) = (Some("[secret]".into()), generated.display().to_string());
            return Setting { name, value, source, secret, default: None };
        }
        let value = env.defaults.get(name).cloned().or_else(|| Some(default.to_owned()));
        let value = value.filter(|value| !value.is_empty());
        let default = sentence.filter(|_| value.is_none());
        Setting { name, value, source: "default".into(), secret, default }
    });
    listed.collect()
}

/// A setting in `.env.example`.
struct Example {
    name: &'static str,
    /// Empty if the default is no value.
    default: &'static str,
    /// What follows `Default: ` in its comment.
    sentence: Option<String>,
}

fn examples() -> Vec<Example> {
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let (mut found, mut comment) = (Vec::new(), String::new());
    for line in EXAMPLE.lines() {
        match line.strip_prefix("# ").map(|text| (text, text.split_once('='))) {
            None => comment.clear(),
            Some((_, Some((name, default)))) if is_name(name) => {
                let sentence = comment.split_once("Default: ").map(|(_, rest)| {
                    let end = rest.split_once(". ").map_or(rest, |(sentence, _)| sentence);
                    end.trim().trim_end_matches('.').to_owned()
                });
                found.push(Example { name, default, sentence });
            }
            Some((text, _)) => comment.extend([text, " "]),
        }
    }
    found
}

impl fmt::Display for Setting {
    /// As a line of `.env`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, &self.default) {
            (Some(value), _) => write!(f, "{}={}  # {}", self.name, Quoted(value), self.source),
            (None, Some(default)) => write!(f, "{}=  # default: {default}", self.name),
            (None, None) => write!(f, "{}=  # not set", self.name),
        }
    }
}

/// A value as `.env` and Docker Compose read it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '#' | '$');
        if !self.0.contains(is_special) {
            return f.write_str(self.0);
        }
        if !self.0.contains(|c: char| c == '\'' || c.is_control()) {
            return write!(f, "'{}'", self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '"' | '\\' | '$' => write!(f, "\\{c}")?,
                // It would act on the terminal, and no escape stands for it.
                c if c.is_control() => f.write_str("\u{fffd}")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::dotenv, *};

    proptest! {
        #[test]
        fn a_listed_value_is_read_back_from_dotenv(value in "[^\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f]") {
            let value = value.trim();
            let line = format!("A={}  # .env", Quoted(value));
            let read = dotenv::parse(line.as_bytes()).expect("a valid line");
            prop_assert_eq!(read["A"].as_str(), value);
        }
    }

    #[test]
    fn a_value_is_quoted_as_a_line_of_dotenv_needs_it() {
        for (value, line) in [
            ("info,mintage::coins=debug", "A=info,mintage::coins=debug  # .env"),
            ("Mint & Co", "A='Mint & Co'  # .env"),
            ("a$b#c", "A='a$b#c'  # .env"),
            ("it's $1 \\", "A=\"it's \\$1 \\\\\"  # .env"),
            ("a\nb\u{1b}", "A=\"a\\nb\u{fffd}\"  # .env"),
        ] {
            let (value, source) = (Some(value.to_owned()), ".env".to_owned());
            let setting = Setting { name: "A", value, source, secret: false, default: None };
            assert_eq!(setting.to_string(), line);
        }
    }

    #[test]
    fn a_default_that_is_no_value_is_described() {
        let line = |name| {
            let example = examples().into_iter().find(|example| example.name == name).expect("a setting");
            let (value, source) = (None, "default".to_owned());
            Setting { name, value, source, secret: false, default: example.sentence }.to_string()
        };
        assert_eq!(line("DATABASE_URL"), "DATABASE_URL=  # default: the embedded database");
        assert_eq!(line("TRUSTED_PROXIES"), "TRUSTED_PROXIES=  # not set");
        assert_eq!(
            line("SECRET_KEY"),
            "SECRET_KEY=  # default: generated in DATA_DIR in development; required in production"
        );
    }
}
