//! Answers `GET /api/v1/users/{id}/avatar`: returns the picture of a user.

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{Pictures, key, store};
use crate::{
    db::UserId,
    http::{Binary, Path, Problem, Query, etag, kind},
    tokens::CurrentUser,
};

/// More than any picture that we have encoded.
const MAX_FILE: usize = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[schema(default = "256")]
pub enum AvatarSize {
    #[serde(rename = "64")]
    Of64,
    #[serde(rename = "128")]
    Of128,
    #[default]
    #[serde(rename = "256")]
    Of256,
    #[serde(rename = "512")]
    Of512,
}

impl AvatarSize {
    fn pixels(self) -> u32 {
        match self {
            Self::Of64 => 64,
            Self::Of128 => 128,
            Self::Of256 => 256,
            Self::Of512 => 512,
        }
    }
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AvatarQuery {
    /// Width and height in pixels.
    #[serde(default)]
    #[param(inline)]
    size: AvatarSize,
    /// The version of the picture, as in `avatar_url`. With the current one, the response may be cached for a year.
    #[param(max_length = 64, example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    #[validate(length(max = 64, message = "must have at most 64 characters"))]
    v: Option<String>,
}

/// Read a user's picture
///
/// Returns the profile picture of a user, for every user who is logged in. `avatar_url` of the account has its address,
/// which changes with the picture, so the response may be cached for a year; without the current `v` it must be
/// revalidated with its `ETag` each time.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The user's id."), AvatarQuery),
    responses(
        (status = 200, description = "The picture, square.", content_type = "image/webp", body = Binary,
            headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "The picture has not changed.",
            headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 404, description = "`not-found`: no such user, or no picture.")
    )
)]
#[get("/users/{id}/avatar")]
pub async fn read_avatar(
    _: CurrentUser,
    req: HttpRequest,
    path: Path<UserId>,
    query: Query<AvatarQuery>,
    pictures: Data<Pictures>,
) -> Result<HttpResponse, Problem> {
    let Query(AvatarQuery { size, v }) = query;
    let not_found = || Problem::new(&kind::NOT_FOUND);
    let Pictures { db, storage, .. } = pictures.get_ref();
    let hash = db.query(move |conn| store::find(conn, path.0)).await?.ok_or_else(not_found)?;
    let is_current = v.is_some_and(|version| version == hash);
    let caching = if is_current { "private, max-age=31536000, immutable" } else { "private, no-cache" };
    let tag = format!("\"{hash}-{}\"", size.pixels());
    let tag = HeaderValue::try_from(tag).map_err(Problem::internal)?;
    let is_known = etag::none_match_has(&req, &tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static(caching)))
        .insert_header((header::VARY, HeaderValue::from_static("authorization")));
    if is_known {
        return Ok(response.finish());
    }
    // Deleted between the query and this.
    let content = storage.get(&key(&hash, size.pixels()), MAX_FILE).await?.ok_or_else(not_found)?;
    Ok(response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("image/webp")))
        .insert_header((header::CONTENT_DISPOSITION, HeaderValue::from_static("inline")))
        .insert_header((header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")))
        .body(content))
}
