//! Rows of the database about services that the server calls, and about its jobs.
//!
//! A service receives a request before the server stores how it went and when the next one may be sent. A
//! clock that is moved in between makes that wait begin later, so a test waits for the row first.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{self, Integer, Nullable, Text, Timestamptz},
};
use uuid::Uuid;

use super::{App, eventually};

#[derive(QueryableByName)]
struct Note {
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_success_at: Option<DateTime<Utc>>,
}

fn note(app: &App, service: &str) -> Option<Note> {
    let query = "SELECT failures, last_success_at FROM provider_state WHERE provider = $1";
    sql_query(query).bind::<Text, _>(service).load(&mut app.sql()).expect("notes").pop()
}

/// Waits until so many failures in a row of this service are stored.
pub async fn until_failed(app: &App, service: &str, failures: i32) {
    eventually("a noted failure", async || note(app, service).is_some_and(|note| note.failures >= failures))
        .await;
}

/// Waits until a success of this service is stored.
pub async fn until_succeeded(app: &App, service: &str) {
    eventually("a noted success", async || {
        note(app, service).is_some_and(|note| note.failures == 0 && note.last_success_at.is_some())
    })
    .await;
}

/// The row of a job.
#[derive(QueryableByName, Debug)]
pub struct Job {
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Timestamptz)]
    pub due_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_error: Option<String>,
}

/// None once it is done.
pub fn job(conn: &mut PgConnection, id: Uuid) -> Option<Job> {
    let query = "SELECT state, attempts, due_at, last_error FROM jobs WHERE id = $1";
    sql_query(query).bind::<sql_types::Uuid, _>(id).load(conn).expect("jobs").pop()
}
