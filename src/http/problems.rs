//! The HTML pages that the `type` of a problem links to.

use actix_web::{HttpResponse, get, http::header};
use askama::Template;

use super::{
    Path, Problem,
    kind::{self, Kind},
};

/// All problem types
///
/// Returns an HTML page that lists every kind of problem.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "The HTML page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Problems</title>…"))
)]
#[get("/problems")]
pub async fn problem_pages() -> HttpResponse {
    Page { title: "Problems", kinds: kind::ALL }.respond()
}

/// One problem type
///
/// Returns the HTML page that the `type` of a problem (RFC 9457) links to. It explains the problem and what to do.
#[utoipa::path(
    tag = "system",
    security(()),
    params(("code" = String, Path, description = "The problem's `code`.", example = "email-taken")),
    responses(
        (status = 200, description = "The HTML page.", body = String, content_type = "text/html",
            example = "<!doctype html><title>The e-mail address is taken</title>…"),
        (status = 404, description = "`not-found`: there is no such problem.")
    )
)]
#[get("/problems/{code}")]
pub async fn problem_page(path: Path<String>) -> Result<HttpResponse, Problem> {
    let known = kind::ALL.iter().find(|kind| kind.code == path.0);
    let kind = known.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(Page { title: kind.title, kinds: &[kind] }.respond())
}

#[derive(Template)]
#[template(path = "http/problems.html")]
struct Page<'a> {
    title: &'a str,
    kinds: &'a [&'static Kind],
}

impl Page<'_> {
    fn respond(&self) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
            .insert_header((
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ))
            .body(self.render().expect("writing into memory does not fail"))
    }
}
