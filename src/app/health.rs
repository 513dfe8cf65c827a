//! `GET /healthz` and `GET /readyz`.

use std::time::Duration;

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    db::{Db, LiveSchema},
    http::{Envelope, Problem},
    tasks::Tasks,
    tokens::{Blocklist, KeyRing},
};

/// The list of ended sessions is confirmed every second.
const DATABASE_UP_WITHIN: Duration = Duration::from_secs(3);
/// The server is not ready if the list was not confirmed for this long although the database answers.
const MAX_UNCONFIRMED: Duration = Duration::from_secs(15);

#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The state of a server that is ready.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    #[schema(example = "ready")]
    status: &'static str,
    database: DatabaseState,
    /// Whole seconds since PostgreSQL last confirmed the list of ended sessions. The server accepts no token while this
    /// exceeds `TOKEN_MAX_STALENESS`.
    #[schema(example = 0)]
    blocklist_confirmed_seconds_ago: u64,
    /// Background tasks that were restarted within the last seconds after a panic, usually none.
    #[schema(example = json!([]))]
    restarted_tasks: Vec<String>,
}

/// State of PostgreSQL. `up`: it has answered within the last 3 seconds. `away`: it has not, and requests that need it
/// are answered with 503.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DatabaseState {
    Up,
    Away,
}

/// Alive
///
/// Returns 200 while the process answers. It does not depend on the database, since a restart would not help then.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "The process answers.", body = Health))
)]
#[get("/healthz")]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Ready
///
/// Returns 200 while this server should receive requests: it is not shutting down, it can check tokens, its background
/// tasks run, and the database has the schema that it started with or a newer one. Without PostgreSQL it stays ready until
/// `TOKEN_MAX_STALENESS`, since responses from memory still work; `database` shows the state. No query is made.
#[utoipa::path(
    tag = "system",
    security(()),
    responses(
        (status = 200, description = "The server is ready.", body = Readiness),
        (status = 503, description = "`unavailable`: the server is not ready; `detail` states why.")
    )
)]
#[get("/readyz")]
pub async fn readyz(
    db: Data<Db>,
    blocklist: Data<Blocklist>,
    keys: Data<KeyRing>,
    schema: Data<LiveSchema>,
    tasks: Data<Tasks>,
    envelope: Data<Envelope>,
) -> Result<Json<Readiness>, Problem> {
    let not_ready = |why: String| Err(Problem::unavailable("not ready").detail(why));
    if envelope.shutdown.is_draining() {
        return not_ready("shutting down".into());
    }
    let age = blocklist.confirmed_ago();
    if !blocklist.is_current() {
        return not_ready("the list of ended sessions is out of date, so tokens cannot be checked".into());
    }
    if age > MAX_UNCONFIRMED && db.answering_for() > MAX_UNCONFIRMED {
        return not_ready("the database answers, but notifications of changes do not arrive".into());
    }
    if !keys.can_sign() {
        return not_ready("SECRET_KEY does not decrypt the signing keys in the database".into());
    }
    if let Some(fault) = schema.fault() {
        return not_ready(fault.to_string());
    }
    let failing = tasks.failing();
    if !failing.is_empty() {
        return not_ready(format!("background tasks keep failing: {}", failing.join(", ")));
    }
    let database = if is_up(&blocklist, &db) { DatabaseState::Up } else { DatabaseState::Away };
    Ok(Json(Readiness {
        status: "ready",
        database,
        blocklist_confirmed_seconds_ago: age.as_secs(),
        restarted_tasks: tasks.unwell(),
    }))
}

/// Whether PostgreSQL has answered within the last seconds, on the connection that listens or to a request. Makes no
/// query.
pub(super) fn is_up(blocklist: &Blocklist, db: &Db) -> bool {
    blocklist.confirmed_ago().min(db.answered_ago()) < DATABASE_UP_WITHIN
}
