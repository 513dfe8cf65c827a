//! Defines a challenge: a row of the table `challenges` without its secrets.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    deserialize::FromSqlRow,
    expression::AsExpression,
    pg::Pg,
    prelude::*,
    sql_types::{Bool, Nullable, Text},
};
use uuid::Uuid;

use super::code::CodeForm;
use crate::{
    db::{SessionId, UserId, schema::challenges, text_enum},
    users::EmailAddress,
};

pub(super) const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The purpose of a challenge. A token or code for one purpose is refused for any other.
#[derive(
    AsExpression, FromSqlRow, Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "kebab-case")]
pub enum Purpose {
    ConfirmEmail,
    ResetPassword,
    ChangePassword,
    ChangeEmail,
    UndoEmailChange,
    UnlockLogin,
    AcceptInvitation,
    RestoreAccount,
    EndSession,
}

impl Purpose {
    /// Whether a subject can have several at once: each is about a change or a log-in of its own.
    pub(super) fn is_one_of_many(self) -> bool {
        matches!(self, Self::UndoEmailChange | Self::EndSession)
    }

    pub fn code_form(self) -> CodeForm {
        match self {
            Self::ChangePassword => CodeForm::SixDigits,
            _ => CodeForm::EightCharacters,
        }
    }

    /// How long the link works after the mail was built.
    pub(super) fn lifetime(self) -> TimeDelta {
        match self {
            Self::ConfirmEmail | Self::ChangeEmail | Self::UnlockLogin => TimeDelta::hours(24),
            Self::ResetPassword => TimeDelta::minutes(30),
            Self::ChangePassword => CODE_LIFETIME,
            Self::UndoEmailChange | Self::AcceptInvitation | Self::EndSession => TimeDelta::days(7),
            // Until the account is purged, which deletes the challenge: a year at most.
            Self::RestoreAccount => TimeDelta::days(365),
        }
    }
}

text_enum!(Purpose);

/// Whose challenge it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    User(UserId),
    Registration(Uuid),
}

pub(super) type Condition = Box<dyn BoxableExpression<challenges::table, Pg, SqlType = Nullable<Bool>>>;

impl Subject {
    pub(super) fn condition(self) -> Condition {
        match self {
            Self::User(id) => Box::new(challenges::user_id.eq(id)),
            Self::Registration(id) => Box::new(challenges::registration_id.eq(id)),
        }
    }
}

/// A challenge without its secrets.
#[derive(Queryable, Selectable, Clone)]
#[diesel(table_name = challenges)]
pub struct Challenge {
    pub id: Uuid,
    pub purpose: Purpose,
    user_id: Option<UserId>,
    registration_id: Option<Uuid>,
    /// Where it is mailed.
    #[diesel(select_expression = (challenges::email, challenges::email_canonical))]
    pub email: EmailAddress,
    /// The session that it ends.
    pub session_id: Option<SessionId>,
    pub created_at: DateTime<Utc>,
    pub consumed_at: Option<DateTime<Utc>>,
}

impl Challenge {
    pub fn subject(&self) -> Subject {
        match (self.user_id, self.registration_id) {
            (Some(id), _) => Subject::User(id),
            (None, id) => Subject::Registration(id.expect("challenges_subject_check")),
        }
    }

    pub fn user(&self) -> Option<UserId> {
        self.user_id
    }
}
