use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::ValidationError;

use crate::{db::schema::users, http::check_display_text, tokens::Role};

/// An account as its owner and admins see it.
#[derive(Queryable, Selectable, Serialize, ToSchema, Debug, Clone)]
#[diesel(table_name = users)]
pub struct User {
    /// `UUIDv7`; the `sub` of the user's tokens.
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    pub id: Uuid,
    /// As the person wrote it.
    #[schema(example = "ada@example.com", format = "email")]
    pub email: String,
    /// Whether the person has proved to read mail at this address.
    #[diesel(select_expression = users::email_confirmed_at.is_not_null())]
    pub email_confirmed: bool,
    #[schema(example = "ada")]
    pub username: Option<String>,
    #[schema(example = "Ada Lovelace")]
    pub name: Option<String>,
    #[schema(inline)]
    pub role: Role,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The entity tag.
    #[serde(skip)]
    pub version: i32,
}

/// For validator: 1 to 100 characters, none of them control characters, not only blanks.
///
/// # Errors
/// `length` or `control-character`.
pub fn check_name(name: &str) -> Result<(), ValidationError> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(ValidationError::new("length").with_message("must have 1 to 100 characters".into()));
    }
    check_display_text(name)
}

/// For validator: 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Without an
/// `@` it cannot be mistaken for an e-mail address, and without Unicode not for another name.
///
/// # Errors
/// `username`.
pub fn check_username(username: &str) -> Result<(), ValidationError> {
    let bytes = username.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    if (3..=32).contains(&bytes.len()) && bytes[0].is_ascii_alphanumeric() && bytes.iter().all(allowed) {
        return Ok(());
    }
    Err(ValidationError::new("username")
        .with_message("must have 3 to 32 of a-z A-Z 0-9 . _ - and start with a letter or digit".into()))
}
