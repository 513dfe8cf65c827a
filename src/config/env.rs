//! Reads settings one by one and collects all errors, so that an operator sees them at once.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, str::FromStr, time::Duration};

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The source of settings, with the names, errors and warnings of those that were read.
pub(super) struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    pub names: Vec<&'static str>,
    /// The values of those that are set, as they were written.
    pub values: BTreeMap<&'static str, String>,
    /// The values that apply where nothing is set.
    pub defaults: BTreeMap<&'static str, String>,
    /// The names of secret settings.
    pub secrets: Vec<&'static str>,
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl<'a> Env<'a> {
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let (names, values, defaults) = Default::default();
        let (secrets, errors, warnings) = Default::default();
        Self { lookup, names, values, defaults, secrets, errors, warnings }
    }

    /// Reads a setting and trims it. An empty one counts as not set, since `docker compose` passes such.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.names.push(name);
        let value = (self.lookup)(name)?.trim().to_owned();
        if value.is_empty() {
            return None;
        }
        self.values.insert(name, value.clone());
        Some(value)
    }

    /// Notes the default of a setting, if `.env.example` cannot: one that depends on the machine or on other settings.
    pub fn note_default(&mut self, name: &'static str, default: impl fmt::Display) {
        self.defaults.insert(name, default.to_string());
    }

    pub fn secret(&mut self, name: &'static str) -> Option<Secret> {
        self.secrets.push(name);
        self.text(name).map(Secret)
    }

    /// Parses a setting. `expected` completes the sentence "NAME must be …"; the value is never printed.
    pub fn parse<T: FromStr>(&mut self, name: &'static str, default: T, expected: &str) -> T {
        match self.text(name).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                self.wrong(name, expected);
                default
            }
        }
    }

    pub fn number<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        name: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.note_default(name, default);
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let value = self.parse(name, default, &expected);
        if !range.contains(&value) {
            self.wrong(name, &expected);
        }
        value
    }

    /// Parses a number; None if it is not set.
    pub fn optional_number<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        self.text(name)?;
        Some(self.number(name, *range.start(), range))
    }

    pub fn duration(
        &mut self,
        name: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.note_default(name, brief(default));
        let Some(text) = self.text(name) else {
            return default;
        };
        match humantime::parse_duration(&text) {
            Ok(value) if range.contains(&value) => value,
            _ => {
                let (low, high) = (brief(*range.start()), brief(*range.end()));
                self.wrong(name, &format!("a duration such as `90s` or `5m`, from {low} to {high}"));
                default
            }
        }
    }

    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        if let Some((word, _)) = choices.iter().find(|(_, value)| *value == default) {
            self.note_default(name, word);
        }
        let Some(text) = self.text(name) else {
            return default;
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)) {
            *value
        } else {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(name, &format!("one of {}", words.join(", ")));
            default
        }
    }

    pub fn switch(&mut self, name: &'static str, default: bool) -> bool {
        let words = [("on", true), ("off", false), ("true", true), ("false", false)];
        self.choice(name, default, &words)
    }

    /// Parses a comma-separated list; empty if it is not set.
    pub fn list<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Vec<T> {
        let text = self.text(name).unwrap_or_default();
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        if let Ok(values) = parts.map(str::parse).collect() {
            values
        } else {
            self.wrong(name, &format!("a comma-separated list of {expected}"));
            Vec::new()
        }
    }

    pub fn wrong(&mut self, name: &'static str, expected: &str) {
        self.errors.push(format!("{name} must be {expected}"));
    }

    /// Adds a warning about a valid but risky setting, in one sentence that names it.
    pub fn warn_if(&mut self, risky: bool, warning: &str) {
        if risky {
            self.warnings.push(warning.to_owned());
        }
    }
}
/// Formats a duration in the largest unit that has no fraction. Without months and years, which differ in length.
fn brief(duration: Duration) -> String {
    let (millis, units) =
        (duration.as_millis(), [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]);
    match units.into_iter().find(|(unit, _)| millis > 0 && millis % unit == 0) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".into(),
        None => format!("{millis}ms"),
    }
}
