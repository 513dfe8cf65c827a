//! Reads the lines of a file of accounts: CSV (RFC 4180) or newline-delimited JSON.

use serde::Deserialize;

use crate::http::{
    FieldError, Problem,
    import::{Mistake, Numbered, check_length, read_csv, without_mark},
    parse_json,
};

const COLUMNS: [&str; 8] =
    ["email", "username", "name", "role", "email_confirmed", "password_hash", "created_at", "disabled"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

/// The values of a line, as they were written.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub email: String,
    pub username: Option<String>,
    pub name: Option<String>,
    pub role: Option<String>,
    pub email_confirmed: Option<bool>,
    pub password_hash: Option<String>,
    pub created_at: Option<String>,
    pub disabled: Option<bool>,
}

impl Format {
    /// Reads a file line by line. A byte order mark and blank lines are skipped.
    ///
    /// # Errors
    /// A problem with the heading of CSV.
    pub(super) fn read(self, file: &[u8]) -> Result<Box<dyn Iterator<Item = Numbered<Line>> + '_>, Problem> {
        match self {
            Self::Csv => Ok(Box::new(read_csv(file, &COLUMNS, &["email"])?)),
            Self::Ndjson => Ok(Box::new(read_ndjson(without_mark(file)))),
        }
    }
}

fn read_ndjson(file: &[u8]) -> impl Iterator<Item = Numbered<Line>> {
    let lines = (1u64..).zip(file.split(|byte| *byte == b'\n'));
    let full = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    full.map(|(number, line)| (number, read_object(line)))
}

fn read_object(line: &[u8]) -> Result<Line, Mistake> {
    check_length(line)?;
    parse_json(line).map_err(|problem| match problem.errors().first() {
        Some(FieldError { pointer, code, message }) => {
            Mistake::new(pointer.trim_start_matches('/'), code.as_ref(), message.as_ref())
        }
        None => Mistake::new("", problem.kind().code, "is not a JSON object"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, file: &str) -> Vec<(u64, String)> {
        let lines = format.read(file.as_bytes()).expect("a heading");
        let show = |line: Result<Line, Mistake>| match line {
            Ok(line) => format!("{} {:?}", line.email, line.name),
            Err(Mistake { field, code, .. }) => format!("{field}: {code}"),
        };
        lines.map(|(number, line)| (number, show(line))).collect()
    }

    fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[test]
    fn csv_may_have_a_mark_quotes_and_any_line_ends() {
        let file = "\u{feff}email,name\r\na@x.example,\"Ada \"\"L\"\", Countess\"\r\n\r\nb@x.example,\nc@x.example,\"two\nlines\"\nd@x.example,D";
        let expected = numbered(&[
            (2, "a@x.example Some(\"Ada \\\"L\\\", Countess\")"),
            (4, "b@x.example None"),
            (5, "c@x.example Some(\"two\\nlines\")"),
            (7, "d@x.example Some(\"D\")"),
        ]);
        assert_eq!(read(Format::Csv, file), expected);
    }

    #[test]
    fn the_heading_shows_what_separates_the_values() {
        let expected = numbered(&[(2, "a@x.example Some(\"A\")")]);
        for file in ["email;name\r\na@x.example;A\r\n", "name\temail\nA\ta@x.example"] {
            assert_eq!(read(Format::Csv, file), expected);
        }
    }

    #[test]
    fn mistakes_have_their_line_and_field() {
        let file = "email,email_confirmed\na@x.example,maybe\n,true\nc@x.example\nd@x.example,TRUE\n";
        let expected = numbered(&[
            (2, "email_confirmed: type"),
            (3, "email: required"),
            (4, ": columns"),
            (5, "email_confirmed: type"),
        ]);
        assert_eq!(read(Format::Csv, file), expected);

        let file = "{\"email\": \"a@x.example\"}\r\n\n{\"name\": \"B\"}\n{\"email\": 7}\n{\"email\": \"d\", \"x\": 1}\n{\n[]\n{\"email\": \"a\", \"email\": \"b\"}\n{\"email\": \"a\\u0000\"}";
        let expected = numbered(&[
            (1, "a@x.example None"),
            (3, "email: required"),
            (4, "email: type"),
            (5, "x: unknown-field"),
            (6, ": malformed-json"),
            (7, ": type"),
            (8, "email: duplicate-field"),
            (9, "email: control-character"),
        ]);
        assert_eq!(read(Format::Ndjson, file), expected);
    }

    #[test]
    fn headings_that_cannot_be_read_are_refused() {
        for heading in ["", "name", "email,mail", "email,email", "e-mail"] {
            assert!(Format::Csv.read(heading.as_bytes()).is_err(), "{heading}");
        }
        assert!(Format::Csv.read(b"email,\xff").is_err());
    }
}
