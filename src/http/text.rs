//! Text that may go into the database and onto a screen.

use serde_json::Value;
use validator::ValidationError;

use super::problem::FieldError;

/// The first string in `value` with a NUL, which PostgreSQL's `text` cannot hold.
pub(super) fn find_nul(value: &Value, pointer: &mut String) -> Option<FieldError> {
    let start = pointer.len();
    let mut step = |part: &str, child: &Value| {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        let found = find_nul(child, pointer);
        pointer.truncate(start);
        found
    };
    match value {
        Value::String(text) if text.contains('\0') => Some(FieldError {
            pointer: pointer.clone(),
            code: "control-character".into(),
            message: "must not contain U+0000".into(),
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| step(&index.to_string(), item))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| step(name, member)),
        _ => None,
    }
}

/// Controls, and characters that hide or reorder text, so that one name looks like another.
/// Joiners stay: scripts and emoji need them.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// For validator: text that others read.
///
/// # Errors
/// `control-character`.
pub fn check_display_text(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(is_deceptive) {
        return Err(ValidationError::new("control-character")
            .with_message("must not contain control characters".into()));
    }
    Ok(())
}
