//! Writes users as CSV (RFC 4180).

use serde_json::Value;

use super::model::User;
use crate::http::csv_cell;

const COLUMNS: [&str; 17] = [
    "id",
    "email",
    "email_confirmed",
    "username",
    "name",
    "role",
    "status",
    "disabled_reason",
    "created_at",
    "updated_at",
    "purge_at",
    "login_count",
    "current_login_at",
    "current_login_address",
    "last_login_at",
    "last_login_address",
    "avatar_url",
];

pub(super) fn heading() -> Vec<u8> {
    (COLUMNS.join(",") + "\r\n").into_bytes()
}

/// Appends a line. A cell that a spreadsheet would take for a formula is made text.
pub(super) fn write(user: &User, text: &mut Vec<u8>) {
    let json = serde_json::to_value(user).expect("plain values");
    let cells = COLUMNS.map(|column| match &json[column] {
        Value::Null => String::new(),
        Value::String(text) => csv_cell(text),
        other => other.to_string(),
    });
    text.extend_from_slice(cells.join(",").as_bytes());
    text.extend_from_slice(b"\r\n");
}
