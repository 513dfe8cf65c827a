//! The state of a job, and its representation in the API.

use chrono::{DateTime, Utc};
use diesel::{deserialize::FromSqlRow, expression::AsExpression, prelude::*, sql_types::Text};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{schema::jobs, text_enum};

/// State of a job; completed jobs are deleted.
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
    EnumString,
    IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobState {
    /// Not due yet.
    Waiting,
    Running,
    /// Failed permanently or too often.
    Dead,
}

text_enum!(JobState);

/// A job without its payload, which may contain personal data.
#[derive(Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = jobs)]
#[schema(as = Job)]
pub struct JobView {
    /// `UUIDv7`: ids ascend in the order in which jobs are enqueued.
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    pub id: Uuid,
    #[schema(example = "test-mail")]
    pub kind: String,
    #[schema(inline)]
    pub state: JobState,
    /// Number of attempts that have begun.
    #[schema(minimum = 0, example = 3)]
    pub attempts: i32,
    /// Number of failed attempts after which the job is dead.
    #[schema(minimum = 1, example = 30)]
    pub max_attempts: i32,
    /// When the job runs next; while it runs, when its lease ends and another server may take it over.
    pub due_at: DateTime<Utc>,
    /// Why the last failed attempt failed; null if none has.
    #[schema(example = "the mail server cannot be reached: Connection refused (os error 111)")]
    pub last_error: Option<String>,
    pub last_error_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}
