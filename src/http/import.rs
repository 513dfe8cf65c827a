//! Reads imported files line by line, and collects the mistakes in them.

use csv::{DeserializeErrorKind, ErrorKind, ReaderBuilder, StringRecord};
use serde::de::DeserializeOwned;

use super::{FieldError, Problem, kind};

/// In bytes: a line with the longest values is far shorter.
const MAX_LINE: usize = 16 * 1024;
/// Mistakes that are listed.
const MAX_LISTED: usize = 100;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Empty if it is not about one field.
    pub field: String,
    pub code: String,
    pub message: String,
}

impl Mistake {
    pub fn new(field: &str, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.into(), message: message.into() }
    }

    fn required(field: &str) -> Self {
        Self::new(field, "required", "is required")
    }

    fn too_long() -> Self {
        Self::new("", "length", format!("must have at most {MAX_LINE} bytes"))
    }
}

/// The mistakes of a file: the first ones, and how many there are.
#[derive(Default)]
pub struct Mistakes {
    listed: Vec<FieldError>,
    count: usize,
}

impl Mistakes {
    pub fn add(&mut self, line: u64, mistake: Mistake) {
        self.count += 1;
        if self.listed.len() == MAX_LISTED {
            return;
        }
        let Mistake { field, code, message } = mistake;
        let pointer = if field.is_empty() { format!("/{line}") } else { format!("/{line}/{field}") };
        self.listed.push(FieldError { pointer, code: code.into(), message: message.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn problem(self) -> Problem {
        let some = if self.count > MAX_LISTED {
            format!(", the first {MAX_LISTED} are listed")
        } else {
            String::new()
        };
        let detail = format!("nothing was imported; mistakes: {}{some}", self.count);
        Problem::new(&kind::VALIDATION_FAILED).detail(detail).fields(self.listed)
    }
}

/// A line with its number in the file, counted from 1.
pub type Numbered<T> = (u64, Result<T, Mistake>);

/// Checks the length of a line.
///
/// # Errors
/// The line is too long.
pub fn check_length(line: &[u8]) -> Result<(), Mistake> {
    if line.len() > MAX_LINE { Err(Mistake::too_long()) } else { Ok(()) }
}

/// Returns a file without its byte order mark.
pub fn without_mark(file: &[u8]) -> &[u8] {
    file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file)
}

/// Reads CSV (RFC 4180) whose heading names these columns, in any order and separated by commas, semicolons or tabs. A
/// byte order mark and blank lines are skipped. An empty cell is an absent value.
///
/// # Errors
/// A problem with the heading.
pub fn read_csv<'a, T: DeserializeOwned>(
    file: &'a [u8],
    columns: &[&str],
    required: &'static [&'static str],
) -> Result<impl Iterator<Item = Numbered<T>> + use<'a, T>, Problem> {
    let file = without_mark(file);
    let heading = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // Spreadsheets write semicolons where the comma is the decimal point.
    let separator = [b',', b';', b'\t'].into_iter().find(|one| heading.contains(one)).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(file);
    let unreadable = |_| Problem::invalid("/1", "encoding", "must be UTF-8");
    let heading = reader.headers().map_err(unreadable)?.clone();
    check_heading(&heading, columns, required)?;
    let mut lines = LineNumbers { file, line: 1, at: 0 };
    Ok(reader.into_records().map(move |record| {
        let begin = record.as_ref().map_or_else(csv::Error::position, StringRecord::position);
        let number = lines.of(begin.and_then(|begin| usize::try_from(begin.byte()).ok()));
        let record = record.map_err(|error| unread(&error));
        (number, record.and_then(|record| read_record(&record, &heading, required)))
    }))
}

fn check_heading(heading: &StringRecord, columns: &[&str], required: &[&str]) -> Result<(), Problem> {
    for (index, name) in heading.iter().enumerate() {
        if !columns.contains(&name) {
            let message = format!(
                "has an unknown column: there are {}; separate them by commas, semicolons or tabs",
                columns.join(", ")
            );
            return Err(Problem::invalid("/1", "unknown-field", message));
        }
        if heading.iter().take(index).any(|earlier| earlier == name) {
            return Err(Problem::invalid(format!("/1/{name}"), "duplicate-field", "is given more than once"));
        }
    }
    match required.iter().find(|name| !heading.iter().any(|column| column == **name)) {
        Some(name) => Err(Problem::invalid(format!("/1/{name}"), "required", "is required")),
        None => Ok(()),
    }
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

fn read_record<T: DeserializeOwned>(
    record: &StringRecord,
    heading: &StringRecord,
    required: &[&str],
) -> Result<T, Mistake> {
    check_length(record.as_slice().as_bytes())?;
    let line = record.deserialize(Some(heading)).map_err(|error| match error.kind() {
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
    let is_empty =
        |name: &str| heading.iter().position(|column| column == name).map(|at| &record[at]) == Some("");
    match required.iter().find(|name| is_empty(name)) {
        Some(name) => Err(Mistake::required(name)),
        None => Ok(line),
    }
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
