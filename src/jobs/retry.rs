//! `POST /admin/jobs/{id}/retry`: makes a job due at once.

use actix_web::{
    post,
    web::{Data, Json},
};
use diesel::OptionalExtension;
use uuid::Uuid;

use super::{model::JobView, store};
use crate::{
    clock::Clock,
    db::Db,
    http::{Path, Problem, kind},
    tokens::Admin,
};

/// Retry a job
///
/// Makes a dead or waiting job due at once, with as many attempts as a new job has; for admins.
#[utoipa::path(
    tag = "jobs",
    security(("admin" = [])),
    params(("id" = Uuid, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The job, which runs within seconds.", body = JobView),
        (status = 403, description = "`forbidden`: not an admin."),
        (status = 404, description = "`not-found`: there is no such job; it may be completed."),
        (status = 409, description = "`job-running`.")
    )
)]
#[post("/admin/jobs/{id}/retry")]
pub async fn retry_job(
    _: Admin,
    path: Path<Uuid>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<JobView>, Problem> {
    let (id, now) = (path.0, clock.now());
    let view = db
        .tx(move |conn| match store::retry(conn, id, now).optional()? {
            Some(view) => Ok(view),
            None if store::exists(conn, id)? => Err(Problem::new(&kind::JOB_RUNNING)),
            None => Err(Problem::new(&kind::NOT_FOUND)),
        })
        .await?;
    Ok(Json(view))
}
