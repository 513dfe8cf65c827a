//! The HTML pages that the `type` of a problem links to.

use actix_web::{
    HttpResponse, get,
    http::header::{self, HeaderValue},
    web::Data,
};
use askama::Template;

use super::{
    Envelope, Path, Problem, html,
    kind::{self, Kind},
    openapi_problems,
};

/// All problem types
///
/// Returns an HTML page that lists every kind of problem, each with an example. The anchor of a problem is its code.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "The HTML page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Problems</title>…"))
)]
#[get("/problems")]
pub async fn problem_pages(settings: Data<Envelope>) -> Result<HttpResponse, Problem> {
    Page::new("Problems", kind::ALL, &settings).respond()
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
            example = "<!doctype html><title>The email address is taken</title>…"),
        (status = 404, description = "`not-found`: there is no such problem.")
    )
)]
#[get("/problems/{code}")]
pub async fn problem_page(path: Path<String>, settings: Data<Envelope>) -> Result<HttpResponse, Problem> {
    let known = kind::ALL.iter().find(|kind| kind.code == path.0);
    let kind = known.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    let page = Page::new(kind.title, &[kind], &settings);
    Page { is_index: false, root: "../", ..page }.respond()
}

#[derive(Template)]
#[template(path = "http/problems.html")]
struct Page<'a> {
    title: &'a str,
    /// Whether it lists all problems.
    is_index: bool,
    /// The relative address of the start page.
    root: &'a str,
    entries: Vec<Entry>,
}

struct Entry {
    kind: &'static Kind,
    /// As JSON.
    example: String,
}

impl<'a> Page<'a> {
    fn new(title: &'a str, kinds: &[&'static Kind], settings: &Envelope) -> Self {
        let entry = |kind: &&'static Kind| {
            let example = openapi_problems::example_at(&settings.public_url, kind);
            Entry { kind, example: serde_json::to_string_pretty(&example).expect("strings serialise") }
        };
        Self { title, is_index: true, root: "", entries: kinds.iter().map(entry).collect() }
    }

    fn respond(self) -> Result<HttpResponse, Problem> {
        let mut response = html::respond(&self)?;
        let cached = HeaderValue::from_static("public, max-age=3600");
        response.headers_mut().insert(header::CACHE_CONTROL, cached);
        Ok(response)
    }
}
