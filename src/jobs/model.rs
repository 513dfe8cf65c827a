use chrono::{DateTime, Utc};
use diesel::{deserialize::FromSqlRow, expression::AsExpression, prelude::*, sql_types::Text};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{schema::jobs, text_enum};

/// Where a job is. One that was done is gone.
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
    /// Until it is due.
    Waiting,
    Running,
    /// Given up.
    Dead,
}

text_enum!(JobState);

/// A job as admins see it: without its payload, which may be personal.
#[derive(Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = jobs)]
#[schema(as = Job)]
pub struct JobView {
    /// `UUIDv7`, in the order of enqueueing.
    #[schema(example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")]
    pub id: Uuid,
    #[schema(example = "test-mail")]
    pub kind: String,
    #[schema(inline)]
    pub state: JobState,
    /// Runs so far.
    #[schema(minimum = 0, example = 3)]
    pub attempts: i32,
    /// After so many failed runs it is dead.
    #[schema(minimum = 1, example = 30)]
    pub max_attempts: i32,
    /// When it runs next; while it runs, when another server may take it over.
    pub due_at: DateTime<Utc>,
    /// Why the last run failed.
    #[schema(example = "the mail server cannot be reached: Connection refused (os error 111)")]
    pub last_error: Option<String>,
    pub last_error_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}
