//! Parses `.env`, in a small and strict format without substitution. An invalid line is reported only by its number,
//! since it may contain a secret.
//!
//! ```text
//! NAME=value            # blanks around the value are dropped, and ` #` begins a comment
//! export NAME=value     so that a shell can read the file as well
//! NAME='as it stands'   no escapes
//! NAME="one\ntwo"       \n, \", \\ and \$ are the escapes; a value ends on its line
//! ```

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use nix::unistd::geteuid;

/// In bytes; protects from a device or a huge file of that name.
const MAX_SIZE: u64 = 1024 * 1024;

/// The content of `.env`, and who has access to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dotenv {
    pub values: HashMap<String, String>,
    access: Access,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Access {
    mode: u32,
    foreign: bool,
}

impl Dotenv {
    /// Reads the file; a missing file sets nothing.
    ///
    /// # Errors
    /// One line: why the file cannot be read, or which of its lines is invalid.
    pub fn read(path: &Path) -> Result<Self, String> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("`.env` cannot be read: {error}")),
            Ok((bytes, access)) => Ok(Self {
                values: parse(&bytes).map_err(|line| {
                    format!("`.env` cannot be read: line {line} is not NAME=value, with quotes around a value that has blanks or quotes in it")
                })?,
                access,
            }),
        }
    }

    fn open(path: &Path) -> io::Result<(Vec<u8>, Access)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let access = Access {
            mode: metadata.mode(),
            foreign: metadata.uid() != 0 && metadata.uid() != geteuid().as_raw(),
        };
        let mut bytes = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        Ok((bytes, access))
    }

    /// Returns in one line why the file is not safe, given the names of the secret settings.
    pub fn warning(&self, secrets: &[&str]) -> Option<&'static str> {
        let holds_secret =
            || secrets.iter().any(|name| self.values.get(*name).is_some_and(|v| !v.is_empty()));
        if self.access.foreign {
            Some("`.env` belongs to another user, who can change all settings: change its owner")
        } else if self.access.mode & 0o022 != 0 {
            Some("`.env` can be changed by other users of this machine: chmod 600 it")
        } else if self.access.mode & 0o044 != 0 && holds_secret() {
            Some("`.env` contains secrets and can be read by other users of this machine: chmod 600 it")
        } else {
            None
        }
    }
}

/// Returns the settings, or the number of the first invalid line. Of two lines with the same name the last one counts.
pub(super) fn parse(bytes: &[u8]) -> Result<HashMap<String, String>, usize> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut values = HashMap::new();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1_usize..) {
        let text = str::from_utf8(line).map_err(|_| number)?.trim();
        if !text.is_empty() && !text.starts_with('#') {
            let (name, value) = parse_line(text).ok_or(number)?;
            values.insert(name.to_owned(), value);
        }
    }
    Ok(values)
}

fn parse_line(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let name =
        name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name).trim();
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    is_name.then_some((name, parse_value(value.trim())?))
}

fn parse_value(text: &str) -> Option<String> {
    let (value, rest) = if let Some(quoted) = text.strip_prefix('\'') {
        let (value, rest) = quoted.split_once('\'')?;
        (value.to_owned(), rest)
    } else if let Some(quoted) = text.strip_prefix('"') {
        unescape(quoted)?
    } else {
        return parse_bare(text);
    };
    // Only a comment may follow the closing quote.
    let rest_is_comment = rest.is_empty() || (rest.starts_with([' ', '\t']) && rest.trim().starts_with('#'));
    rest_is_comment.then_some(value)
}

/// Parses a value without quotes. Spaces and quotes in it are refused: other programs that read the file would
/// interpret them differently.
fn parse_bare(text: &str) -> Option<String> {
    let is_comment = text.starts_with('#');
    let before_comment = text.split(" #").next()?.split("\t#").next()?.trim_end();
    let value = if is_comment { "" } else { before_comment };
    let ambiguous = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"');
    (!value.contains(ambiguous)).then(|| value.to_owned())
}

/// Returns the value up to the closing quote, and the text after it.
fn unescape(quoted: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                escaped @ ('"' | '\\' | '$') => escaped,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(line: &str) -> Option<String> {
        parse(line.as_bytes()).ok()?.remove("A")
    }

    #[test]
    fn valid_lines_are_parsed() {
        for (line, expected) in [
            ("A=b", "b"),
            ("A = b ", "b"),
            ("  export\tA=b", "b"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A=#nothing", ""),
            ("A=b#c", "b#c"),
            ("A=b # c", "b"),
            ("A=$B${C}$$", "$B${C}$$"),
            ("A=b\\n", "b\\n"),
            ("A=b=c=", "b=c="),
            ("A='b \" # $C \\n' # d", "b \" # $C \\n"),
            (r#"A="b\n\"\\ # \$C $D""#, "b\n\"\\ # $C $D"),
            ("A=b\r", "b"),
            ("\u{feff}A=b", "b"),
            ("export=x\nA=b\nA=c", "c"),
        ] {
            assert_eq!(value(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn invalid_lines_are_reported() {
        for line in [
            "A",
            "=b",
            "A B=c",
            "1A=b",
            "A-B=c",
            "Ä=b",
            "exportA b",
            "A='b",
            "A=\"b",
            "A='b'c",
            "A=\"b\"c",
            "A='b'#c",
            r#"A="\t""#,
            r#"A="b\"#,
            "A=b c",
            "A=it's",
            "A=b\0",
        ] {
            assert_eq!(parse(format!("# one\n\n{line}\nB=c").as_bytes()), Err(3), "{line}");
        }
        assert_eq!(parse(b"A=b\nB=\xff"), Err(2));
    }

    #[test]
    fn a_file_open_to_other_users_is_warned_about() {
        let warning = |mode, foreign, value: &str| {
            let values = HashMap::from([("KEY".to_owned(), value.to_owned())]);
            Dotenv { values, access: Access { mode, foreign } }.warning(&["KEY"])
        };
        for (mode, foreign, value, part) in [
            (0o600, true, "", "another user"),
            (0o620, false, "", "changed"),
            (0o602, false, "", "changed"),
            (0o640, false, "x", "read"),
            (0o604, false, "x", "read"),
        ] {
            assert!(warning(mode, foreign, value).is_some_and(|text| text.contains(part)), "{mode:o} {part}");
        }
        assert_eq!(warning(0o100_600, false, "x"), None);
        assert_eq!(warning(0o100_644, false, ""), None);
    }

    proptest! {
        #[test]
        fn every_value_can_be_written_in_quotes(value in "[^\u{0}-\u{1f}]*") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(super::tests::value(&format!("A=\"{escaped}\"")), Some(value));
        }

        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
