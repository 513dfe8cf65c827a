use actix_web::{
    get,
    web::{Data, Json},
};
use diesel::{RunQueryDsl, sql_query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    db::Db,
    http::{Envelope, Problem},
    tokens::Blocklist,
};

#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    status: &'static str,
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
/// Requests can be served: the database answers and the server is not shutting down.
#[utoipa::path(
    tag = "system",
    security(()),
    responses(
        (status = 200, description = "Send requests.", body = Health),
        (status = 503, description = "`unavailable`: send them to another replica.")
    )
)]
#[get("/readyz")]
pub async fn readyz(
    db: Data<Db>,
    blocklist: Data<Blocklist>,
    envelope: Data<Envelope>,
) -> Result<Json<Health>, Problem> {
    if envelope.shutdown.is_draining() {
        return Err(Problem::unavailable("shutting down").detail("shutting down"));
    }
    if !blocklist.is_current() {
        return Err(
            Problem::unavailable("the blocklist is out of date").detail("out of touch with the database")
        );
    }
    db.run(|conn| Ok::<_, Problem>(sql_query("SELECT 1").execute(conn)?))
        .await
        .map_err(|problem| problem.detail("the database does not answer"))?;
    Ok(Json(Health { status: "ready" }))
}
