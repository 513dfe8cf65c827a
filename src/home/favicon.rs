//! Answers `GET /favicon.ico`, which browsers request for every page: `favicon.svg` in 16, 32 and 48 pixels.

use actix_web::{HttpResponse, get, http::header};

use crate::http::Binary;

const ICON: &[u8] = include_bytes!("favicon.ico");

/// Icon
///
/// Returns the icon that browsers show beside the title of a page.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The icon.", body = Binary, content_type = "image/vnd.microsoft.icon"))
)]
#[get("/favicon.ico")]
pub async fn favicon() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/vnd.microsoft.icon")
        .insert_header((header::CACHE_CONTROL, "public, max-age=86400"))
        .body(ICON)
}
