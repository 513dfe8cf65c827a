//! The pages that problem types point to.

use std::fmt::Write;

use actix_web::{HttpResponse, get, http::header};

use super::{
    Path, Problem,
    problem::{Kind, kind},
};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\
                     code{background:#8882;padding:.1em .3em;border-radius:.2em}:root{color-scheme:light dark}";

/// All problem types
///
/// An HTML page that lists every sort of problem this server answers with.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "The list.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Problems</title>…"))
)]
#[get("/problems")]
pub async fn problem_pages() -> HttpResponse {
    page("Problems", &kind::ALL.iter().map(|kind| section(kind)).collect::<String>())
}

/// One problem type
///
/// The HTML page that `type` of a problem (RFC 9457) points to: what it means and what to do.
#[utoipa::path(
    tag = "system",
    security(()),
    params(("code" = String, Path, description = "The problem's `code`.", example = "email-taken")),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html",
            example = "<!doctype html><title>The e-mail address is taken</title>…"),
        (status = 404, description = "`not-found`: there is no such problem.")
    )
)]
#[get("/problems/{code}")]
pub async fn problem_page(path: Path<String>) -> Result<HttpResponse, Problem> {
    let known = kind::ALL.iter().find(|kind| kind.code == path.0);
    let kind = known.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(page(kind.title, &section(kind)))
}

fn section(kind: &Kind) -> String {
    let mut html = String::new();
    let Kind { code, status, title, help } = kind;
    let help = help.replace('&', "&amp;").replace('<', "&lt;");
    // Text between backticks is code.
    let help: String = help.split('`').enumerate().fold(String::new(), |mut text, (n, part)| {
        let _ = if n % 2 == 1 { write!(text, "<code>{part}</code>") } else { write!(text, "{part}") };
        text
    });
    let _ = write!(html, "<h2>{title}</h2><p><code>{code}</code>, HTTP {status}</p><p>{help}</p>");
    html
}

fn page(title: &str, body: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ))
        .body(format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style>{body}"
        ))
}
