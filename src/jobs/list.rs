//! `GET /admin/jobs`: lists jobs.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    model::{JobState, JobView},
    store,
};
use crate::{
    db::Db,
    http::{
        Problem, Query,
        page::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
    },
    tokens::Admin,
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// Maximum number of jobs on a page.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    limit: u32,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<Cursor>,
    /// Only jobs in this state.
    #[param(inline)]
    state: Option<JobState>,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

#[derive(Serialize, ToSchema)]
pub struct JobList {
    /// The jobs, oldest first.
    data: Vec<JobView>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(value_type = Option<String>, example = "AZnzsFsKfMCxxUy786Ow8Q")]
    next_cursor: Option<Cursor>,
}

/// List jobs
///
/// Lists work in the background, such as sending a mail; for admins. A job is `waiting` for its time or its next
/// attempt, `running`, or `dead` after too many failures. Completed jobs are deleted at once, dead ones after 30 days.
#[utoipa::path(
    tag = "jobs",
    security(("admin" = [])),
    params(ListJobs),
    responses(
        (status = 200, description = "A page of jobs.", body = JobList),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/admin/jobs")]
pub async fn list_jobs(_: Admin, query: Query<ListJobs>, db: Data<Db>) -> Result<Json<JobList>, Problem> {
    let Query(ListJobs { limit, cursor, state }) = query;
    let after = cursor.map(|cursor| cursor.0);
    let rows = db.query(move |conn| store::list(conn, state, after, i64::from(limit) + 1)).await?;
    let (data, next_cursor) = page::cut(rows, limit, |job| job.id);
    Ok(Json(JobList { data, next_cursor }))
}
