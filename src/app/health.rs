//! Answers the probes `/healthz` and `/readyz`.

use std::time::Duration;

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    db::Db,
    http::{Envelope, Problem},
    tasks::Tasks,
    tokens::{Blocklist, KeyRing},
};

/// The list of ended sessions is confirmed every second.
const DATABASE_UP_WITHIN: Duration = Duration::from_secs(3);
/// So long the list may go unconfirmed while the database answers requests.
const DEAF_AFTER: Duration = Duration::from_secs(15);

#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// What a server that is ready says of itself.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    #[schema(example = "ready")]
    status: &'static str,
    database: DatabaseState,
    /// When PostgreSQL last confirmed the list of ended sessions, in whole seconds before now. A
    /// server accepts no token when this exceeds `TOKEN_MAX_STALENESS`.
    #[schema(example = 0)]
    blocklist_confirmed_seconds_ago: u64,
    /// Background tasks that panicked a short while ago and have begun anew, usually none.
    restarted_tasks: Vec<String>,
}

/// `up`: PostgreSQL has answered within the last 3 seconds. `away`: it has not, so that requests
/// which need it are answered with 503.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DatabaseState {
    Up,
    Away,
}

/// Alive
///
/// The process answers. It says nothing of the database: restarting would not help that.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "It lives.", body = Health))
)]
#[get("/healthz")]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Ready
///
/// This server can serve what it promises: it is not shutting down, it can check tokens, and its
/// background tasks run. While PostgreSQL is away it stays ready until `TOKEN_MAX_STALENESS`, since
/// what is served from memory goes on; `database` says so. Asking costs no query.
#[utoipa::path(
    tag = "system",
    security(()),
    responses(
        (status = 200, description = "Send requests.", body = Readiness),
        (status = 503, description = "`unavailable`: send them to another replica. `detail` says why.")
    )
)]
#[get("/readyz")]
pub async fn readyz(
    db: Data<Db>,
    blocklist: Data<Blocklist>,
    keys: Data<KeyRing>,
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
    if age > DEAF_AFTER && db.answering_for() > DEAF_AFTER {
        return not_ready("the database answers, but changes in it do not arrive".into());
    }
    if !keys.can_sign() {
        return not_ready("SECRET_KEY does not open the signing keys in the database".into());
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

/// Whether PostgreSQL has answered a moment ago, the connection that listens or a request; asks nothing of it.
pub(super) fn is_up(blocklist: &Blocklist, db: &Db) -> bool {
    blocklist.confirmed_ago().min(db.answered_ago()) < DATABASE_UP_WITHIN
}
