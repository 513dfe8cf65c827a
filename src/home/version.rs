//! Answers `GET /version`: what runs here.
//!
//! The version of the program is no secret: the OpenAPI document, which is served too, states it. Nothing else is
//! stated, such as the versions of PostgreSQL, the compiler or libraries, the machine or the time of the build: only an
//! attacker would compare those with lists of known flaws (OWASP ASVS 5.0, 13.4.6). `API_DOCS=off` removes all of it.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::site::Site;
use crate::http::{Problem, kind};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that was built, if `build.rs` or `MINTAGE_COMMIT` states it.
pub const COMMIT: Option<&str> = match option_env!("MINTAGE_COMMIT") {
    Some(commit) if !commit.is_empty() => Some(commit),
    _ => None,
};

/// The program that serves this API.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
pub struct VersionBody {
    #[schema(example = "mintage")]
    name: &'static str,
    /// As in the changelog.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit that was built; null if the build did not know it.
    #[schema(example = "1f0c2d9e4b7a")]
    commit: Option<&'static str>,
}

/// Version
///
/// Returns the version and the commit of the program, to check what a deployment runs. Versions of other components are
/// not stated, since only attackers would need them.
#[utoipa::path(
    tag = "system",
    security(()),
    responses(
        (status = 200, description = "The version.", body = VersionBody,
            example = json!({"name": "mintage", "version": "0.1.0", "commit": "1f0c2d9e4b7a"})),
        (status = 404, description = "`not-found`: `API_DOCS` is off.")
    )
)]
#[get("/version")]
pub async fn version(site: Data<Site>) -> Result<Json<VersionBody>, Problem> {
    if !site.docs {
        return Err(Problem::new(&kind::NOT_FOUND));
    }
    Ok(Json(VersionBody { name: env!("CARGO_PKG_NAME"), version: VERSION, commit: COMMIT }))
}
