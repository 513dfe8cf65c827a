//! Defines an account as the API shows it, and the rules for names.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::{
    deserialize::FromSqlRow,
    dsl::sql,
    expression::{AsExpression, SqlLiteral},
    prelude::*,
    sql_types::{Nullable, Text},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use validator::ValidationError;

use crate::{
    db::{UserId, schema::users, text_enum},
    http::{check_display_text, is_visible},
    tokens::Role,
};

/// An account as its owner and admins see it.
#[derive(Queryable, Selectable, Serialize, ToSchema, Debug, Clone)]
#[diesel(table_name = users)]
pub struct User {
    /// `UUIDv7`; the `sub` of the user's tokens.
    #[schema(value_type = Uuid, example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    pub id: UserId,
    /// As it was entered.
    #[schema(example = "ada@example.com", format = "email")]
    pub email: String,
    /// Whether the owner has proved to receive mail at this address.
    #[diesel(select_expression = users::email_confirmed_at.is_not_null())]
    #[schema(example = true)]
    pub email_confirmed: bool,
    #[schema(example = "ada")]
    pub username: Option<String>,
    #[schema(example = "Ada Lovelace")]
    pub name: Option<String>,
    /// Address of the profile picture, relative to this API's; it changes with the picture. `size` can be 64, 128, 256 or
    /// 512. Null without a picture.
    #[schema(
        example = "/api/v1/users/0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1/avatar?size=256&v=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        format = "uri-reference"
    )]
    #[diesel(
        select_expression = sql::<Nullable<Text>>(AVATAR_URL),
        select_expression_type = SqlLiteral<Nullable<Text>>
    )]
    pub avatar_url: Option<String>,
    #[schema(inline)]
    pub role: Role,
    #[schema(inline)]
    #[diesel(select_expression = sql::<Text>(STATUS), select_expression_type = SqlLiteral<Text>)]
    pub status: Status,
    /// Why an admin disabled the account, such as `asked for by the customer`.
    #[schema(example = json!(null))]
    pub disabled_reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// When a deleted account and everything in it will be deleted for good; until then it can be restored.
    #[schema(example = json!(null))]
    pub purge_at: Option<DateTime<Utc>>,
    /// The number of log-ins.
    #[schema(example = 7)]
    pub login_count: i32,
    /// The newest log-in.
    pub current_login_at: Option<DateTime<Utc>>,
    /// IP address of the newest log-in.
    #[serde(serialize_with = "address")]
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    pub current_login_address: Option<IpNet>,
    /// The log-in before the newest one. If you do not remember it, someone else knows your password.
    pub last_login_at: Option<DateTime<Utc>>,
    /// IP address of that log-in.
    #[serde(serialize_with = "address")]
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    pub last_login_address: Option<IpNet>,
    /// The entity tag.
    #[serde(skip)]
    pub version: i32,
}

/// The state of an account.
#[derive(
    AsExpression,
    FromSqlRow,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    /// Its address is confirmed.
    Active,
    /// Its address was never confirmed. Whether it can be used depends on `REQUIRE_CONFIRMATION`.
    Unconfirmed,
    /// An admin has invited the person, who has not chosen a password yet.
    Invited,
    /// An admin has disabled it: a log-in is refused.
    Disabled,
    /// It can be restored until it is purged.
    Deleted,
}

text_enum!(Status);

/// The status in SQL; the first that applies.
pub(super) const STATUS: &str = "CASE WHEN users.deleted_at IS NOT NULL THEN 'deleted' \
    WHEN users.disabled_at IS NOT NULL THEN 'disabled' \
    WHEN users.password_hash = '!' THEN 'invited' \
    WHEN users.email_confirmed_at IS NULL THEN 'unconfirmed' ELSE 'active' END";

/// The address of the picture in SQL.
const AVATAR_URL: &str = "'/api/v1/users/' || users.id || '/avatar?size=256&v=' || users.avatar_hash";

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn address<S: Serializer>(network: &Option<IpNet>, serializer: S) -> Result<S::Ok, S::Error> {
    let address: Option<IpAddr> = network.map(|network| network.addr());
    address.serialize(serializer)
}

/// For validator: 1 to 100 characters, at least one of them a letter, number, sign or symbol, none of them a control
/// character or invisible.
///
/// # Errors
/// `length`, `control-character` or `invisible`.
pub fn check_name(name: &str) -> Result<(), ValidationError> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(ValidationError::new("length").with_message("must have 1 to 100 characters".into()));
    }
    check_display_text(name)?;
    if !is_visible(name) {
        return Err(ValidationError::new("invisible")
            .with_message("must have at least one letter, number, sign or symbol".into()));
    }
    Ok(())
}

/// For validator: why an account is disabled: at most 200 characters, without those that [`check_name`] refuses.
pub fn check_reason(text: &str) -> Result<(), ValidationError> {
    if text.chars().count() > 200 {
        return Err(ValidationError::new("length").with_message("must have at most 200 characters".into()));
    }
    check_display_text(text)
}

/// For validator: 3 to 32 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. Without `@` a username cannot be
/// mistaken for an email address, and without Unicode not for another username.
pub fn check_username(username: &str) -> Result<(), ValidationError> {
    let bytes = username.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    if (3..=32).contains(&bytes.len()) && bytes[0].is_ascii_alphanumeric() && bytes.iter().all(allowed) {
        return Ok(());
    }
    Err(ValidationError::new("username")
        .with_message("must have 3 to 32 of a-z A-Z 0-9 . _ - and start with a letter or digit".into()))
}

/// For validator: a new username of an account: [`check_username`], and not reserved.
///
/// # Errors
/// `username` or `reserved`.
pub fn check_new_username(username: &str) -> Result<(), ValidationError> {
    check_username(username)?;
    if is_reserved_username(username) {
        return Err(ValidationError::new("reserved").with_message(RESERVED_MESSAGE.into()));
    }
    Ok(())
}

pub(super) const RESERVED_MESSAGE: &str = "is reserved for the people who run this service";

/// Names that a reader would mistake for the service or the people who run it, and words that programs could mistake
/// for a path, a mailbox (RFC 2142) or no value. Written without `.`, `_` and `-`.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "abuse", "account", "accounts", "admin", "administrator", "administrators", "admins", "all",
    "anonymous", "api", "billing", "contact", "everyone", "guest", "help", "helpdesk", "hostmaster",
    "info", "legal", "mail", "mailerdaemon", "me", "mintage", "moderator", "news", "noreply", "null",
    "official", "operator", "owner", "postmaster", "privacy", "root", "sales", "security", "staff",
    "superuser", "support", "sysadmin", "system", "team", "undefined", "user", "users", "webmaster", "www",
];

/// Whether a username is reserved for the people who run the service. Case, dots, dashes and
/// underscores make no difference.
pub fn is_reserved_username(username: &str) -> bool {
    let bare = username.to_ascii_lowercase().replace(['.', '_', '-'], "");
    RESERVED.contains(&bare.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_usernames_are_recognised_in_any_spelling() {
        for name in ["admin", "ADMIN", "a.d.m.i.n", "no-reply", "No_Reply", "noreply", "mailer-daemon", "www"]
        {
            assert!(is_reserved_username(name), "{name}");
        }
        for name in ["ada", "admin1", "badmin", "user1", "rooty", "themintage"] {
            assert!(!is_reserved_username(name), "{name}");
        }
    }

    #[test]
    fn reserved_usernames_are_sorted_and_have_no_separators() {
        assert!(RESERVED.is_sorted());
        assert!(RESERVED.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase())));
    }
}
