//! Reads the lines of a file of accounts: CSV (RFC 4180) or newline-delimited JSON.

use csv::{DeserializeErrorKind, ErrorKind, ReaderBuilder, StringRecord};
use serde::Deserialize;

use crate::http::{FieldError, Problem, parse_json};

/// In bytes: a line with the longest values is far shorter.
const MAX_LINE: usize = 16 * 1024;
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

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Empty if it is not about one field.
    pub field: String,
    pub code: String,
    pub message: String,
}

impl Mistake {
    pub fn new(field: &str, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.into(), message: message.into() }
    }
}

/// A line with its number in the file, counted from 1.
pub(super) type Numbered = (u64, Result<Line, Mistake>);

impl Format {
    /// Reads a file line by line. A byte order mark and blank lines are skipped.
    ///
    /// # Errors
    /// A problem with the heading of CSV.
    pub(super) fn read(self, file: &[u8]) -> Result<Box<dyn Iterator<Item = Numbered> + '_>, Problem> {
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        match self {
            Self::Csv => read_csv(file),
            Self::Ndjson => Ok(Box::new(read_ndjson(file))),
        }
    }
}

fn read_ndjson(file: &[u8]) -> impl Iterator<Item = Numbered> {
    let lines = (1u64..).zip(file.split(|byte| *byte == b'\n'));
    let full = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    full.map(|(number, line)| (number, read_object(line)))
}

fn read_object(line: &[u8]) -> Result<Line, Mistake> {
    if line.len() > MAX_LINE {
        return Err(too_long());
    }
    parse_json(line).map_err(|problem| match problem.errors().first() {
        Some(FieldError { pointer, code, message }) => {
            Mistake::new(pointer.trim_start_matches('/'), code.as_ref(), message.as_ref())
        }
        None => Mistake::new("", problem.kind().code, "is not a JSON object"),
    })
}

fn read_csv(file: &[u8]) -> Result<Box<dyn Iterator<Item = Numbered> + '_>, Problem> {
    let heading = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // Spreadsheets write semicolons where the comma is the decimal point.
    let separator = [b',', b';', b'\t'].into_iter().find(|one| heading.contains(one)).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(file);
    let unreadable = |_| Problem::invalid("/1", "encoding", "must be UTF-8");
    let heading = reader.headers().map_err(unreadable)?.clone();
    for (index, name) in heading.iter().enumerate() {
        if !COLUMNS.contains(&name) {
            let message = format!(
                "has an unknown column: there are {}; separate them by commas, semicolons or tabs",
                COLUMNS.join(", ")
            );
            return Err(Problem::invalid("/1", "unknown-field", message));
        }
        if heading.iter().take(index).any(|earlier| earlier == name) {
            return Err(Problem::invalid(format!("/1/{name}"), "duplicate-field", "is given more than once"));
        }
    }
    if !heading.iter().any(|name| name == "email") {
        return Err(Problem::invalid("/1/email", "required", "is required"));
    }
    let mut lines = LineNumbers { file, line: 1, at: 0 };
    Ok(Box::new(reader.into_records().map(move |record| {
        let begin = record.as_ref().map_or_else(csv::Error::position, StringRecord::position);
        let number = lines.of(begin.and_then(|begin| usize::try_from(begin.byte()).ok()));
        (number, record.map_err(|error| unread(&error)).and_then(|record| read_record(&record, &heading)))
    })))
}

/// Counts lines. The reader's own count is one too low after CRLF, since a record ends for it at the CR.
struct LineNumbers<'a> {
    file: &'a [u8],
    line: u64,
    /// Up to where lines are counted.
    at: usize,
}

impl LineNumbers<'_> {
    /// The line of a record that begins at this byte, or behind the line ends there.
    fn of(&mut self, begin: Option<usize>) -> u64 {
        let end = begin.unwrap_or(self.at).max(self.at);
        let rest = self.file.get(end..).unwrap_or_default();
        let end = end + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = self.file.get(self.at..end).unwrap_or_default();
        self.line += passed.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.at = end;
        self.line
    }
}

fn read_record(record: &StringRecord, heading: &StringRecord) -> Result<Line, Mistake> {
    if record.as_slice().len() > MAX_LINE {
        return Err(too_long());
    }
    let required = || Mistake::new("email", "required", "is required");
    let line: Line = record.deserialize(Some(heading)).map_err(|error| match error.kind() {
        ErrorKind::Deserialize { err, .. } => {
            let index = err.field().and_then(|index| usize::try_from(index).ok());
            let field = index.and_then(|index| heading.get(index)).unwrap_or_default();
            let message = match err.kind() {
                DeserializeErrorKind::ParseBool(_) => "must be true or false".to_owned(),
                DeserializeErrorKind::Message(text) => text.clone(),
                _ => "has another type".to_owned(),
            };
            Mistake::new(field, "type", message)
        }
        _ => Mistake::new("", "malformed", "cannot be read"),
    })?;
    if line.email.is_empty() { Err(required()) } else { Ok(line) }
}

fn unread(error: &csv::Error) -> Mistake {
    match error.kind() {
        ErrorKind::Utf8 { .. } => Mistake::new("", "encoding", "must be UTF-8"),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Mistake::new("", "columns", format!("has {len} values instead of {expected_len}"))
        }
        _ => Mistake::new("", "malformed", "cannot be read"),
    }
}

fn too_long() -> Mistake {
    Mistake::new("", "length", format!("must have at most {MAX_LINE} bytes"))
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
